"""What a micro-batch costs: ``a + b·tokens + c·batch·length²`` seconds, fitted to runs of the engine.

``a`` is paid once a run, ``b`` for every token (matrix products), ``c`` for every pair of tokens of a row (attention).
Padding counts as tokens: a batch of B rows padded to L tokens has B·L of them.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["CostModel", "Run", "fit"]


_LEAST_PER_TOKEN = 1e-12
"""Seconds; padding is never free, though an engine that waits for its own launches makes it look so."""


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of the engine that was timed."""

    batch: int
    length: int
    """Tokens of each row, padding included."""
    seconds: float


@dataclasses.dataclass(frozen=True)
class CostModel:
    """Seconds of one engine instance; none of the three is negative, and a token is never free."""

    per_run: float = 1e-3
    per_token: float = 1e-4
    per_pair: float = 0.0

    def seconds(self, batch: int, length: int) -> float:
        """Return the seconds of one run of ``batch`` rows padded to ``length`` tokens."""
        return self.per_run + batch * self.alone(length)

    def alone(self, length: int) -> float:
        """Return what a row of ``length`` tokens adds to a run, in seconds; the work that is its own."""
        return (self.per_token + self.per_pair * length) * length


def fit(runs: Sequence[Run]) -> CostModel:
    """Return the model with the least sum of squared relative errors.

    Coefficients below zero have no meaning: of all ways to leave terms out, the best without any is taken (there are
    few enough to try each; Lawson and Hanson, Solving Least Squares Problems, chapter 23, is the general way).

    Raises:
        ValueError: no runs, or times that are not positive.
    """
    if not runs or any(run.seconds <= 0 for run in runs):
        raise ValueError("a cost model needs runs that took time")
    terms = np.array([(1.0, r.batch * r.length, r.batch * r.length**2) for r in runs])
    seconds = np.array([r.seconds for r in runs])
    scaled = terms / seconds[:, None]
    best: tuple[float, NDArray[np.float64]] | None = None
    for kept in map(list, itertools.chain.from_iterable(itertools.combinations(range(3), n) for n in (1, 2, 3))):
        found = np.zeros(3)
        found[kept] = np.linalg.lstsq(scaled[:, kept], np.ones(len(runs)), rcond=None)[0]
        error = float(np.square(scaled @ found - 1).sum())
        if found.min() >= 0 and (best is None or error < best[0]):
            best = error, found
    assert best is not None  # any term alone: the best factor of positive times is positive
    per_run, per_token, per_pair = map(float, best[1])
    return CostModel(per_run, max(per_token, _LEAST_PER_TOKEN), per_pair)
