"""Metrics over many samples at once: each takes weights [R, units], how often a sample drew each unit.

A bootstrap of 1,000 samples is then a few matrix products, not 1,000 passes over the answers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["macro_f1", "mean", "micro_f1", "ndcg", "spearman"]

Floats = NDArray[np.float64]


def macro_f1(weights: Floats, hits: Floats, truth: Floats, predicted: Floats) -> Floats:
    """Return [R], the mean F1 of the labels that have positives in the sample.

    A label without positives has no recall. Counting it as 0 or 1 would let a single false alarm move the mean by
    1/L; it is left out before and after alike, and agreement still sees the false alarm. Where every label occurs this
    is scikit-learn's ``f1_score(average="macro")``.

    Args:
        hits: [units, L], how often a label is given rightly.
        truth: [units, L], how often it is right.
        predicted: [units, L], how often it is given.
    """
    positives = weights @ truth
    f1 = _ratio(2 * (weights @ hits), positives + weights @ predicted)
    counted = positives > 0
    return _ratio(np.where(counted, f1, 0.0).sum(axis=1), counted.sum(axis=1).astype(np.float64))


def micro_f1(weights: Floats, hits: Floats, truth: Floats, predicted: Floats) -> Floats:
    """Return [R], the F1 over all answers of the sample together; arguments are counts [units]."""
    return _ratio(2 * (weights @ hits), weights @ (truth + predicted))


def mean(weights: Floats, values: Floats) -> Floats:
    """Return [R], the mean of values [units]; those that are nan are left out."""
    known = ~np.isnan(values)
    return _ratio(weights[:, known] @ values[known], weights[:, known].sum(axis=1))


def spearman(weights: Floats, x: Floats, y: Floats) -> Floats:
    """Return [R], Spearman's rank correlation of x [units] and y [units], ties at their middle rank."""
    total = weights.sum(axis=1, keepdims=True)

    def centred(values: Floats) -> Floats:
        ranks = _ranks(weights, values)
        centre: Floats = ranks - (weights * ranks).sum(axis=1, keepdims=True) / total
        return centre

    a, b = centred(x), centred(y)
    spread = np.sqrt((weights * a * a).sum(axis=1) * (weights * b * b).sum(axis=1))
    return _ratio((weights * a * b).sum(axis=1), spread)


def ndcg(gains: Floats, scores: Floats, *, top: int = 10) -> float:
    """Return NDCG@top of one query; nan when no order is better than another (all gains equal).

    Gains count as they are, and documents of one score share their places, as in scikit-learn's ``ndcg_score``
    (McSherry and Najork 2008).
    """
    if len(gains) < 2 or gains.min() == gains.max():
        return float("nan")
    discounts = 1 / np.log2(np.arange(len(gains)) + 2)
    discounts[top:] = 0
    ideal = float(np.sort(gains)[::-1] @ discounts)
    _, group = np.unique(-scores, return_inverse=True)
    counts = np.bincount(group)
    places = np.concatenate([[0], np.cumsum(counts)])
    shared = np.add.reduceat(discounts, places[:-1]) / counts
    return float(gains @ shared[group]) / ideal


def _ranks(weights: Floats, values: Floats) -> Floats:
    """Return [R, units], each unit's middle rank in the sample; of no meaning for units that were not drawn."""
    _, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    ends = np.cumsum(np.bincount(group)) - 1
    upto = np.cumsum(weights[:, order], axis=1)[:, ends]
    below = np.concatenate([np.zeros((len(weights), 1)), upto[:, :-1]], axis=1)
    middle: Floats = (below + upto + 1) / 2
    return middle[:, group]


def _ratio(over: Floats, under: Floats) -> Floats:
    """Return over / under; nan where there is nothing to divide by."""
    result: Floats = np.divide(over, under, out=np.full(np.shape(over), np.nan), where=under > 0)
    return result
