"""How long to wait before the same replica is asked again."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["wait_s"]


def wait_s(failures: int, *, base_s: float, longest_s: float, chance: Callable[[], float]) -> float:
    """Return a wait in seconds after ``failures`` failures, 1 or more: full jitter.

    Any length up to a bound that doubles each time is as likely, which spreads callers better than a bound with a
    little noise (Brooker, "Exponential backoff and jitter", AWS Architecture Blog, 2015).

    Args:
        chance: a number from 0 to 1.
    """
    # The exponent is bounded since a float's is.
    return chance() * min(longest_s, base_s * 2.0 ** min(failures - 1, 60))
