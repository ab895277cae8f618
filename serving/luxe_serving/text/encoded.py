"""Rows as tokens, and the tokenizer that makes them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from luxe_serving.text.questions import InvalidText, Question, Row
from luxe_serving.text.settings import Settings

__all__ = ["Encoded", "Encoder"]


@dataclasses.dataclass(slots=True)
class Encoded:
    """A row as tokens, with the engine's output once there is one."""

    text: Row
    ids: list[int]
    type_ids: list[int]
    truncated: bool
    """There were more tokens, which were cut off."""
    encoding: Encoding | None = None
    """Where in the text each token is; of tasks that answer by token."""
    output: NDArray[np.float32] | None = None
    """[classes], or [tokens of the row, classes]."""


class Encoder:
    """Cuts texts into tokens.

    Args:
        settings: of the model.
        tokenizer: of the model; belongs to this encoder from now on.
        truncation: which part of a pair is cut, as the tokenizers library calls it.
        per_token: the task answers by token.
    """

    def __init__(self, settings: Settings, tokenizer: Tokenizer, *, truncation: str, per_token: bool) -> None:
        self._settings = settings
        self._tokenizer = tokenizer
        self._per_token = per_token
        tokenizer.no_padding()
        tokenizer.enable_truncation(settings.max_length, strategy=truncation)

    def encode(self, groups: Sequence[tuple[Question, Sequence[int]]]) -> list[dict[int, Encoded] | Exception]:
        """Return the rows of each question that are asked for, by their numbers, or why there are none.

        One question's fault is its own: the others are encoded all the same.
        """
        try:
            # One call for all: it releases the GIL, so that the engine's workers go on.
            encodings = iter(
                self._tokenizer.encode_batch([question.rows[n] for question, numbers in groups for n in numbers])
            )
        except Exception as error:  # the library has no class of its own for it
            if len(groups) > 1:  # find out whose fault it is
                return [one for group in groups for one in self.encode([group])]
            return [self._why_not(*groups[0], error)]
        return [self._checked(question, {n: next(encodings) for n in numbers}) for question, numbers in groups]

    def _checked(self, question: Question, encodings: dict[int, Encoding]) -> dict[int, Encoded] | Exception:
        rows = {}
        for number, e in encodings.items():
            cut = bool(e.overflowing)
            if cut and not self._settings.auto_truncate:
                most = self._settings.max_length
                return InvalidText(f"{question.name(number)} has over {most} tokens, which this model takes at most")
            kept = e if self._per_token else None
            rows[number] = Encoded(question.rows[number], e.ids, e.type_ids, cut, kept)
        return rows

    def _why_not(self, question: Question, numbers: Sequence[int], error: Exception) -> Exception:
        for number in numbers:
            try:
                self._tokenizer.encode_batch([question.rows[number]])
            except Exception as of_row:
                # With only_first, a second part that leaves no room for the first.
                long = "too short" in str(of_row)
                reason = f"leaves no room within {self._settings.max_length} tokens" if long else str(of_row)
                return InvalidText(f"{question.name(number)} cannot be tokenised: {reason}")
        return error
