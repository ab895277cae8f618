"""Confidence intervals by the bootstrap: how far a metric moves with the choice of test texts.

Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, percentile intervals (chapter 13). The same samples
are drawn for every candidate and for PyTorch, so differences between them are paired.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from luxe_export.evaluation import Evaluation, Outputs

__all__ = ["Interval", "interval", "resampled"]

Interval = tuple[float, float]
SAMPLES = 1000
_SEED = 20
_CELLS = 4_000_000
"""Samples times units that are held at once."""


def resampled(evaluation: Evaluation, outputs: Outputs) -> NDArray[np.float64]:
    """Return the metric [1000] of samples of units, drawn with replacement; always the same samples."""
    parts = [evaluation.scores(outputs, weights) for weights in _weights(evaluation.units)]
    return np.concatenate(parts)


def interval(values: NDArray[np.float64]) -> Interval:
    """Return the middle 95 % of the samples; those without a metric are left out, and if that is all, it is nan."""
    known = values[~np.isnan(values)]
    if len(known) == 0:
        return (float("nan"), float("nan"))
    low, high = np.percentile(known, [2.5, 97.5])
    return (float(low), float(high))


def _weights(units: int) -> Iterator[NDArray[np.float64]]:
    """Yield [R, units], how often each sample draws each unit."""
    chance = np.random.default_rng(_SEED)
    at_once = max(1, min(SAMPLES, _CELLS // units))
    for start in range(0, SAMPLES, at_once):
        size = min(at_once, SAMPLES - start)
        drawn = chance.integers(units, size=(size, units)) + units * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * units).reshape(size, units).astype(np.float64)
