"""Temperature scaling: make a probability of 0.8 right 80 % of the time.

Guo et al., "On Calibration of Modern Neural Networks", ICML 2017: one number T divides all logits; it changes
no label. T is fitted on validation data.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["expected_calibration_error", "fit_temperature", "softmax"]


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


def expected_calibration_error(
    probabilities: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]], *, bins: int = 10
) -> float:
    """Return the mean of |accuracy - confidence| over bins of equal count, weighted by count.

    Bins of equal count, because most answers of a good classifier fall into the last bin of equal width.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    order = np.argsort(confidence, kind="stable")
    gaps = [
        abs(right[part].mean() - confidence[part].mean()) * len(part)
        for part in np.array_split(order, min(bins, len(order)))
    ]
    return float(sum(gaps) / len(order))
