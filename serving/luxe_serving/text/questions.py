"""A request's arrays, checked, as the rows that an engine answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luxe_serving.limits import MAX_CANDIDATE_LABELS
from luxe_serving.text import tensors
from luxe_serving.text.settings import Settings

__all__ = ["InvalidText", "Question", "Row", "max_rows", "read"]

Row = str | tuple[str, str]
"""One row of the engine: a text, or a pair of them."""


class InvalidText(ValueError):
    """A request cannot be answered as it is; the whole of it is refused."""


@dataclasses.dataclass(frozen=True)
class Question:
    """One request of N texts."""

    rows: list[Row]
    """K of each text, text by text; K is 1 but for zero-shot-classification."""
    rows_per_text: int
    multi_label: list[bool]
    """[N]; of zero-shot-classification, empty for other tasks."""

    def name(self, row: int) -> str:
        """Return what a person calls a row."""
        text, label = divmod(row, self.rows_per_text)
        return f"text {text} with candidate label {label}" if self.multi_label else f"text {text}"


def max_rows(settings: Settings) -> int:
    """Return how many rows one request may cost: a full one of 8 candidate labels, or a few texts of many."""
    return max(8 * settings.max_batch_size, MAX_CANDIDATE_LABELS)


def read(settings: Settings, arrays: Mapping[str, NDArray[Any]]) -> Question:
    """Check a request.

    Args:
        settings: of the model.
        arrays: by input name, each [N, ...], texts as UTF-8 bytes; optional ones may be absent.

    Raises:
        InvalidText: says in one line what is wrong, and where.
    """
    for tensor in tensors.inputs(settings):
        if tensor.name not in arrays and not tensor.optional:
            raise InvalidText(f"the request has no {tensor.name}")
    texts = _texts(settings, arrays["text"].reshape(-1).tolist(), "text")
    if not texts:
        raise InvalidText("the request has no texts")
    if settings.task == "zero-shot-classification":
        return _zero_shot(settings, texts, arrays)
    if "text_pair" not in [tensor.name for tensor in tensors.inputs(settings)]:
        return Question(list(texts), 1, [])
    pairs = _texts(settings, arrays["text_pair"].reshape(-1).tolist(), "text_pair")
    if len(pairs) != len(texts):
        raise InvalidText(f"the request has {len(texts)} texts and {len(pairs)} text_pairs; each text needs its own")
    return Question(list(zip(texts, pairs, strict=True)), 1, [])


def _zero_shot(settings: Settings, texts: list[str], arrays: Mapping[str, NDArray[Any]]) -> Question:
    table = arrays["candidate_labels"]
    if table.ndim != 2 or len(table) != len(texts):
        shape = ", ".join(map(str, table.shape))
        raise InvalidText(
            f"candidate_labels has shape [{shape}]; {len(texts)} texts need [{len(texts)}, labels of each]"
        )
    count = table.shape[1]
    if count == 0:
        raise InvalidText("the request has no candidate labels")
    if count > MAX_CANDIDATE_LABELS:
        raise InvalidText(
            f"the request has {count} candidate labels a text; this model takes at most {MAX_CANDIDATE_LABELS}"
        )
    if len(texts) * count > max_rows(settings):
        raise InvalidText(
            f"the request has {len(texts)} texts with {count} candidate labels each, {len(texts) * count} pairs; this "
            f"model takes at most {max_rows(settings)} pairs: send fewer texts at a time"
        )
    multi_label = arrays.get("multi_label", np.zeros(len(texts), dtype=bool)).reshape(-1).tolist()
    if len(multi_label) != len(texts):
        raise InvalidText(f"multi_label has {len(multi_label)} values for {len(texts)} texts")
    rows: list[Row] = []
    for position, (text, given) in enumerate(zip(texts, table.tolist(), strict=True)):
        labels = _texts(settings, given, f"text {position}: candidate label")
        # As a person reads them: a stray space makes no other label.
        seen = [label.strip() for label in labels]
        for i, label in enumerate(seen):
            if label in seen[:i]:
                raise InvalidText(
                    f"text {position}: candidate label {i} is the same as {seen.index(label)}; labels must differ"
                )
        rows += [(text, settings.hypothesis_template.format(label)) for label in labels]
    return Question(rows, count, multi_label)


def _texts(settings: Settings, values: Sequence[Any], name: str) -> list[str]:
    checked = []
    for position, raw in enumerate(values):
        if len(raw) > settings.max_text_bytes:
            raise InvalidText(
                f"{name} {position} has {len(raw)} bytes; this model takes at most {settings.max_text_bytes}"
            )
        try:
            text: str = raw.decode()
        except UnicodeDecodeError as error:
            raise InvalidText(f"{name} {position} is not UTF-8 (byte {error.start})") from None
        if not text.strip():
            raise InvalidText(f"{name} {position} is empty")
        checked.append(text)
    return checked
