"""Answers that are numbers: a regression's, an embedding, a document's score for a query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luxe_export.evaluation import _metrics
from luxe_export.evaluation._base import Evaluation, Outputs, Row

__all__ = ["Embeddings", "Ranking", "Regression"]

_SAME_SHARE = 0.1
"""Numbers this share of a standard deviation apart count as the same answer."""
_AS_GOOD = 0.01
"""Neighbours or documents whose scores differ by less are equally good; their order is chance."""


class Regression(Evaluation):
    """Spearman's rank correlation with the right numbers, the mean over outputs.

    Change: the largest |Δ| of an output, in standard deviations of the reference's answers. Agreement: at most 0.1 of
    them away.

    Args:
        truth: [N, L].
    """

    metric = "Spearman"

    def __init__(self, rows: Sequence[Row], truth: NDArray[np.float64]) -> None:
        self.rows = rows
        self.units = len(truth)
        self._truth = truth

    def scores(self, outputs: Outputs, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        given = np.stack(outputs).astype(np.float64)
        columns = [_metrics.spearman(weights, x, y) for x, y in zip(given.T, self._truth.T, strict=True)]
        mean: NDArray[np.float64] = np.mean(columns, axis=0)
        return mean

    def agreement(self, before: Outputs, after: Outputs) -> NDArray[np.float64]:
        return (self.change(before, after) <= _SAME_SHARE).astype(np.float64)

    def change(self, before: Outputs, after: Outputs, reference: Outputs | None = None) -> NDArray[np.float64]:
        return _in_deviations(before, after, before if reference is None else reference)

    def describe(self, outputs: Outputs, row: int) -> str:
        return _numbers(outputs[row])

    def truth(self, row: int) -> str:
        return _numbers(self._truth[row])


class Embeddings(Evaluation):
    """Spearman's rank correlation of the cosine of two texts with the score people gave the pair.

    Change: the length of the difference over the length of the reference's embedding; for embeddings of length 1 this
    is sqrt(2 (1 - cosine)), so 0.1 is a cosine of 0.995. Agreement, by pair: the share of its two texts whose nearest
    neighbour among all other texts is PyTorch's, or one that PyTorch finds at most 0.01 less similar.

    Args:
        rows: the two texts of a pair follow each other.
        scores: [N], by pair.
    """

    metric = "Spearman"

    def __init__(self, rows: Sequence[str], scores: NDArray[np.float64]) -> None:
        self.rows = rows
        self.units = len(scores)
        self._truth = scores
        ids: dict[str, int] = {}  # an array of the texts would give each row as much room as the longest
        self._text = np.array([ids.setdefault(text, len(ids)) for text in rows])

    def scores(self, outputs: Outputs, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return _metrics.spearman(weights, self._cosines(outputs), self._truth)

    def agreement(self, before: Outputs, after: Outputs) -> NDArray[np.float64]:
        ours, theirs = _unit(after), _unit(before)
        same = np.ones(len(self.rows))
        for start in range(0, len(ours), 512):  # all similarities at once would be the square of the data
            part = slice(start, start + 512)
            itself = self._text[part, None] == self._text[None, :]
            if itself.all():
                continue
            similar = np.where(itself, -np.inf, theirs[part] @ theirs.T)
            nearest = np.where(itself, -np.inf, ours[part] @ ours.T).argmax(axis=1)
            same[part] = similar[np.arange(len(nearest)), nearest] >= similar.max(axis=1) - _AS_GOOD
        mean: NDArray[np.float64] = same.reshape(-1, 2).mean(axis=1)
        return mean

    def change(self, before: Outputs, after: Outputs, reference: Outputs | None = None) -> NDArray[np.float64]:
        length = np.linalg.norm(np.stack(before if reference is None else reference).astype(np.float64), axis=1)
        moved = np.linalg.norm(np.stack(before).astype(np.float64) - np.stack(after), axis=1)
        return _over(moved, length)

    def describe(self, outputs: Outputs, row: int) -> str:
        return f"cosine {self._cosines(outputs)[row // 2]:.3f} to its pair"

    def truth(self, row: int) -> str:
        return f"score {self._truth[row // 2]:.3g}"

    def _cosines(self, outputs: Outputs) -> NDArray[np.float64]:
        units = _unit(outputs)
        cosines: NDArray[np.float64] = (units[0::2] * units[1::2]).sum(axis=1)
        return cosines


class Ranking(Evaluation):
    """NDCG@10, the mean over queries that have a better and a worse document.

    Change: |Δ| of a document's score where that is a probability, else in standard deviations of the reference's
    scores.
    Agreement, by query: the first document is PyTorch's, or one that PyTorch scores at most 0.01 lower.

    Args:
        rows: a query with a document.
        gains: [N], how relevant the document is, 0 or more.
        probabilities: scores are between 0 and 1.
    """

    metric = "NDCG@10"

    def __init__(self, rows: Sequence[tuple[str, str]], gains: NDArray[np.float64], *, probabilities: bool) -> None:
        self.rows = rows
        self._gains = gains
        self._probabilities = probabilities
        queries: dict[str, list[int]] = {}
        for i, (query, _) in enumerate(rows):
            queries.setdefault(query, []).append(i)
        self._queries = [np.array(documents) for documents in queries.values()]
        self.units = len(self._queries)

    def scores(self, outputs: Outputs, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        given = _column(outputs)
        values = [_metrics.ndcg(self._gains[documents], given[documents]) for documents in self._queries]
        return _metrics.mean(weights, np.array(values))

    def agreement(self, before: Outputs, after: Outputs) -> NDArray[np.float64]:
        theirs, ours = _column(before), _column(after)
        margin = _AS_GOOD * (1.0 if self._probabilities else float(theirs.std()))
        same = [theirs[d][ours[d].argmax()] >= theirs[d].max() - margin for d in self._queries]
        return np.array(same, dtype=np.float64)

    def change(self, before: Outputs, after: Outputs, reference: Outputs | None = None) -> NDArray[np.float64]:
        if self._probabilities:
            moved: NDArray[np.float64] = np.abs(_column(before) - _column(after))
            return moved
        return _in_deviations(before, after, before if reference is None else reference)

    def describe(self, outputs: Outputs, row: int) -> str:
        return _numbers(outputs[row])

    def truth(self, row: int) -> str:
        return f"relevance {self._gains[row]:.3g}"


def _in_deviations(before: Outputs, after: Outputs, reference: Outputs) -> NDArray[np.float64]:
    moved = np.abs(np.stack(before).astype(np.float64) - np.stack(after))
    deviation = np.stack(reference).astype(np.float64).std(axis=0)
    largest: NDArray[np.float64] = _over(moved, np.broadcast_to(deviation, moved.shape)).max(axis=1)
    return largest


def _over(moved: NDArray[np.float64], unit: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return moved / unit; where the unit is 0, any move is infinite and none is 0."""
    endless = np.where(moved == 0, 0.0, np.where(np.isnan(moved), np.nan, np.inf))
    result: NDArray[np.float64] = np.divide(moved, unit, out=endless, where=unit > 0)
    return result


def _unit(outputs: Outputs) -> NDArray[np.float64]:
    embeddings = np.stack(outputs).astype(np.float64)
    unit: NDArray[np.float64] = embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
    return unit


def _column(outputs: Outputs) -> NDArray[np.float64]:
    return np.stack(outputs).astype(np.float64).ravel()


def _numbers(values: NDArray[np.floating[Any]]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)
