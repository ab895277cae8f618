"""A bucket of tokens that keeps extra requests to a share of all."""

from __future__ import annotations

import threading

__all__ = ["Budget"]

_WHOLE = 1 - 1e-9
"""What counts as one token, so that ten times 0.1 is enough."""


class Budget:
    """Every request earns a share of a token, every extra one spends one; safe for threads.

    After any number n of requests, at most ``ratio * n + reserve`` extra ones were granted.

    Args:
        ratio: tokens that a request earns.
        reserve: tokens at the start, and at most.
    """

    def __init__(self, ratio: float, reserve: float) -> None:
        self._ratio = ratio
        self._reserve = float(reserve)
        self._tokens = float(reserve)
        self._lock = threading.Lock()

    def earn(self) -> None:
        """Count a request."""
        with self._lock:
            self._tokens = min(self._reserve, self._tokens + self._ratio)

    def spend(self) -> bool:
        """Return whether an extra request may be sent, and count it if so."""
        with self._lock:
            if self._ratio == 0 or self._tokens < _WHOLE:
                return False
            self._tokens -= 1
            return True
