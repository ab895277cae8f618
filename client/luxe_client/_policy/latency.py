"""How long answers took lately."""

from __future__ import annotations

from collections import deque

__all__ = ["Latencies"]

_KEPT = 256
_LEAST = 32
"""Fewer say nothing of a tail."""
_EVERY = 16


class Latencies:
    """The newest latencies of a model, and a quantile of them.

    Safe for threads: it may count one too few or sort a little late, and does no worse.

    Args:
        quantile: 0 to 1.
    """

    def __init__(self, quantile: float) -> None:
        self._quantile = quantile
        self._newest: deque[float] = deque(maxlen=_KEPT)
        self._added = 0
        self._slow_s: float | None = None

    @property
    def slow_s(self) -> float | None:
        """The quantile in seconds, a few answers old; None while too few are known."""
        return self._slow_s

    def add(self, seconds: float) -> None:
        """Note how long an answer took."""
        self._newest.append(seconds)
        self._added += 1
        if self._added >= _LEAST and self._added % _EVERY == 0:
            known = sorted(self._newest.copy())
            self._slow_s = known[min(len(known) - 1, int(self._quantile * len(known)))]
