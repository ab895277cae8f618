"""Answers that are labels: one of them, several, or one of a list that comes with the text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from luxe_export.evaluation import _metrics
from luxe_export.evaluation._base import Evaluation, Outputs, Row
from luxe_serving.text import answers

__all__ = ["MultiLabel", "SingleLabel", "ZeroShot"]


class SingleLabel(Evaluation):
    """Macro-F1 of the likeliest label. Agreement: the same label. Change: the largest |Δ| of a probability.

    Args:
        truth: [N], indices of the right labels.
    """

    metric = "macro-F1"

    def __init__(self, rows: Sequence[Row], truth: Sequence[int], labels: Sequence[str]) -> None:
        self.rows = rows
        self.units = len(truth)
        self._truth = np.array(truth, dtype=np.int64)
        self._labels = tuple(labels)

    def scores(self, outputs: Outputs, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        one_hot = np.eye(len(self._labels))
        truth, predicted = one_hot[self._truth], one_hot[self._answers(outputs)]
        return _metrics.macro_f1(weights, truth * predicted, truth, predicted)

    def agreement(self, before: Outputs, after: Outputs) -> NDArray[np.float64]:
        same: NDArray[np.float64] = (self._answers(before) == self._answers(after)).astype(np.float64)
        return same

    def change(self, before: Outputs, after: Outputs, reference: Outputs | None = None) -> NDArray[np.float64]:
        moved: NDArray[np.float64] = np.abs(self.probabilities(before) - self.probabilities(after)).max(axis=1)
        return moved

    def confidence(self, outputs: Outputs) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        return self.probabilities(outputs).max(axis=1), self._answers(outputs) == self._truth

    def confusion(self, outputs: Outputs) -> NDArray[np.int64]:
        counts = np.zeros((len(self._labels), len(self._labels)), dtype=np.int64)
        np.add.at(counts, (self._truth, self._answers(outputs)), 1)
        return counts

    def describe(self, outputs: Outputs, row: int) -> str:
        best = int(outputs[row].argmax())
        return f"{self._labels[best]} {outputs[row][best]:.3f}"

    def truth(self, row: int) -> str:
        return self._labels[int(self._truth[row])]

    def probabilities(self, outputs: Outputs) -> NDArray[np.float64]:
        """Return [units, L]."""
        return np.stack(outputs).astype(np.float64)

    def _answers(self, outputs: Outputs) -> NDArray[np.int64]:
        best: NDArray[np.int64] = self.probabilities(outputs).argmax(axis=1)
        return best


class ZeroShot(SingleLabel):
    """As `SingleLabel`, over the catalogue's labels as candidates; a row is a text with one label's hypothesis.

    Change: by row, |Δ| of that label's probability.

    Args:
        texts: one a unit.
        template: a hypothesis with ``{}`` for the label.
    """

    def __init__(
        self,
        texts: Sequence[str],
        truth: Sequence[int],
        labels: Sequence[str],
        *,
        template: str,
        entailment_id: int,
        contradiction_id: int,
    ) -> None:
        super().__init__([(text, template.format(label)) for text in texts for label in labels], truth, labels)
        self._ids = {"entailment_id": entailment_id, "contradiction_id": contradiction_id}

    def change(self, before: Outputs, after: Outputs, reference: Outputs | None = None) -> NDArray[np.float64]:
        moved: NDArray[np.float64] = np.abs(self.probabilities(before) - self.probabilities(after)).ravel()
        return moved

    def describe(self, outputs: Outputs, row: int) -> str:
        unit, label = divmod(row, len(self._labels))
        own = outputs[unit * len(self._labels) : (unit + 1) * len(self._labels)]
        return f"{self._labels[label]} {self._probabilities_of(own)[label]:.3f}"

    def truth(self, row: int) -> str:
        return super().truth(row // len(self._labels))

    def probabilities(self, outputs: Outputs) -> NDArray[np.float64]:
        many = len(self._labels)
        return np.stack([self._probabilities_of(outputs[i : i + many]) for i in range(0, len(outputs), many)])

    def _probabilities_of(self, outputs: Outputs) -> NDArray[np.float64]:
        return answers.zero_shot(np.stack(outputs), multi_label=False, **self._ids).astype(np.float64)


class MultiLabel(Evaluation):
    """Macro-F1 of the labels with p >= 0.5. Agreement: the same set of labels. Change: the largest |Δ| of a p.

    Confidence is max(p, 1 - p) of every label of every text.

    Args:
        truth: [N, L], whether a label is right.
    """

    metric = "macro-F1"

    def __init__(self, rows: Sequence[Row], truth: NDArray[np.bool_], labels: Sequence[str]) -> None:
        self.rows = rows
        self.units = len(truth)
        self._truth = truth
        self._labels = tuple(labels)

    def scores(self, outputs: Outputs, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        given = _given(outputs)
        hits, truth, predicted = (x.astype(np.float64) for x in (self._truth & given, self._truth, given))
        return _metrics.macro_f1(weights, hits, truth, predicted)

    def agreement(self, before: Outputs, after: Outputs) -> NDArray[np.float64]:
        same: NDArray[np.float64] = (_given(before) == _given(after)).all(axis=1).astype(np.float64)
        return same

    def change(self, before: Outputs, after: Outputs, reference: Outputs | None = None) -> NDArray[np.float64]:
        moved: NDArray[np.float64] = np.abs(np.stack(before).astype(np.float64) - np.stack(after)).max(axis=1)
        return moved

    def confidence(self, outputs: Outputs) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        p = np.stack(outputs).astype(np.float64).ravel()
        return np.maximum(p, 1 - p), (p >= 0.5) == self._truth.ravel()

    def describe(self, outputs: Outputs, row: int) -> str:
        given = [f"{label} {p:.3f}" for label, p in zip(self._labels, outputs[row], strict=True) if p >= 0.5]
        return ", ".join(given) or f"none (at most {outputs[row].max():.3f})"

    def truth(self, row: int) -> str:
        return ", ".join(label for label, right in zip(self._labels, self._truth[row], strict=True) if right) or "none"


def _given(outputs: Outputs) -> NDArray[np.bool_]:
    return np.stack(outputs) >= 0.5
