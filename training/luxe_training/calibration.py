"""Temperature scaling: make a probability of 0.8 right 80 % of the time.

Guo et al., "On Calibration of Modern Neural Networks", ICML 2017: one number T divides all logits; it changes
no label. T is fitted on validation data.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Bin", "expected_calibration_error", "fit_temperature", "reliability", "softmax"]


@dataclasses.dataclass(frozen=True)
class Bin:
    """Answers of like confidence."""

    confidence: float
    """Mean of what the model claims."""
    accuracy: float
    """Share that is right."""
    count: int


def softmax(logits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return probabilities along the last axis."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    result: NDArray[np.float64] = shifted / shifted.sum(axis=-1, keepdims=True)
    return result


def fit_temperature(logits: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]]) -> float:
    """Return the T > 0 that minimises the negative log likelihood of ``softmax(logits / T)``.

    Args:
        logits: [N, L].
        labels: [N], indices of the right labels.
    """
    from scipy.optimize import minimize_scalar

    def negative_log_likelihood(log_t: float) -> float:
        picked = softmax(logits / np.exp(log_t))[np.arange(len(labels)), labels]
        return float(-np.log(np.maximum(picked, 1e-12)).mean())

    # The likelihood is convex in 1/T, so one bounded search finds the minimum: T between 1/20 and 20.
    return float(np.exp(minimize_scalar(negative_log_likelihood, bounds=(-3.0, 3.0), method="bounded").x))


def reliability(confidence: NDArray[np.floating[Any]], right: NDArray[np.bool_], *, bins: int = 10) -> tuple[Bin, ...]:
    """Return at most so many bins of equal count, from least to most confident; none for no answers.

    Bins of equal count, because most answers of a good classifier fall into the last bin of equal width.

    Args:
        confidence: [N], what the model claims of each answer.
        right: [N].
    """
    order = np.argsort(confidence, kind="stable")
    parts = np.array_split(order, min(bins, len(order))) if len(order) else []
    return tuple(Bin(float(confidence[p].mean()), float(right[p].mean()), len(p)) for p in parts)


def expected_calibration_error(bins: Sequence[Bin]) -> float:
    """Return the mean of |accuracy - confidence| over bins, weighted by count; 0 for no answers."""
    total = sum(b.count for b in bins)
    return sum(abs(b.accuracy - b.confidence) * b.count for b in bins) / total if total else 0.0
