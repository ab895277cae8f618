"""Answers that are entities: spans of a text with a label."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luxe_export.evaluation import _metrics
from luxe_export.evaluation._base import Evaluation, Outputs
from luxe_serving.text import answers
from luxe_serving.text.words import Words

__all__ = ["Entities", "Span", "entity_labels"]

Span = tuple[int, int, str]
"""First character, character after the last, label."""


class Entities(Evaluation):
    """Micro-F1 of entities: a hit has the exact span and the label. As the server answers (`text.answers`).

    Agreement, by text: the F1 of the entities against PyTorch's, 1 where neither finds any. Change: the largest |Δ| of
    a probability of any token. Confidence: the scores of the entities found.

    Args:
        truth: by text.
        encodings: by text, of the tokenizers library, cut as for the engine.
        tokenizer: of the tokenizers library.
        labels: the model's classes, such as ``B-PER``.
    """

    metric = "entity F1"

    def __init__(
        self,
        rows: Sequence[str],
        truth: Sequence[frozenset[Span]],
        encodings: Sequence[Any],
        tokenizer: Any,
        *,
        labels: Sequence[str],
        strategy: str,
    ) -> None:
        self.rows = rows
        self.units = len(truth)
        self._texts = rows
        self._truth = truth
        self._encodings = encodings
        words = Words(tokenizer)
        self._words = [words(encoding, text) for encoding, text in zip(encodings, rows, strict=True)]
        self._labels = tuple(labels)
        self._strategy = strategy

    def scores(self, outputs: Outputs, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        given = self._spans(outputs)
        return _metrics.micro_f1(
            weights,
            _counts(a & b for a, b in zip(given, self._truth, strict=True)),
            _counts(self._truth),
            _counts(given),
        )

    def agreement(self, before: Outputs, after: Outputs) -> NDArray[np.float64]:
        pairs = zip(self._spans(before), self._spans(after), strict=True)
        return np.array([2 * len(a & b) / (len(a) + len(b)) if a or b else 1.0 for a, b in pairs])

    def change(self, before: Outputs, after: Outputs, reference: Outputs | None = None) -> NDArray[np.float64]:
        pairs = zip(before, after, strict=True)
        return np.array([np.abs(a.astype(np.float64) - b).max() for a, b in pairs])

    def confidence(self, outputs: Outputs) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        found = [
            (entity.score, (entity.start, entity.end, entity.label) in self._truth[i])
            for i in range(self.units)
            for entity in self._entities(outputs, i)
        ]
        return np.array([score for score, _ in found], dtype=np.float64), np.array([x for _, x in found], dtype=bool)

    def describe(self, outputs: Outputs, row: int) -> str:
        return (
            ", ".join(
                f"{entity.label} {self._texts[row][entity.start : entity.end]!r} {entity.score:.3f}"
                for entity in self._entities(outputs, row)
            )
            or "no entities"
        )

    def truth(self, row: int) -> str:
        spans = sorted(self._truth[row])
        return ", ".join(f"{label} {self._texts[row][a:b]!r}" for a, b, label in spans) or "no entities"

    def _spans(self, outputs: Outputs) -> list[frozenset[Span]]:
        return [
            frozenset((entity.start, entity.end, entity.label) for entity in self._entities(outputs, i))
            for i in range(self.units)
        ]

    def _entities(self, outputs: Outputs, row: int) -> Sequence[answers.Entity]:
        encoding = self._encodings[row]
        return answers.entities(
            outputs[row],
            encoding.offsets,
            encoding.special_tokens_mask,
            self._words[row],
            self._texts[row],
            self._labels,
            self._strategy,
        )


def entity_labels(labels: Sequence[str]) -> tuple[str, ...]:
    """Return what an entity may be called, of classes such as ``O``, ``B-PER``, ``I-PER``."""
    names = (label.split("-", 1)[-1] for label in labels if label != "O")
    return tuple(dict.fromkeys(names))


def _counts(sets: Iterable[frozenset[Span]]) -> NDArray[np.float64]:
    return np.array([len(s) for s in sets], dtype=np.float64)
