"""When requests are due, settled before the first is sent."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from luxe_bench.cost.workload import SEED

__all__ = ["poisson"]


def poisson(per_s: float, seconds: float, *, seed: int = SEED) -> NDArray[np.float64]:
    """Return the arrivals of a Poisson process at ``per_s`` a second, in seconds from the start, all below ``seconds``.

    Always at least one.
    """
    chance = np.random.default_rng(seed)
    expected = per_s * seconds
    gaps = chance.exponential(1 / per_s, int(expected + 6 * np.sqrt(expected) + 10))
    due: NDArray[np.float64] = np.cumsum(gaps)
    return due[: max(1, int(np.searchsorted(due, seconds)))]
