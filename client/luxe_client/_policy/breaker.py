"""A circuit breaker: leaves alone what fails, and probes it now and then."""

from __future__ import annotations

import math

__all__ = ["Breaker"]


class Breaker:
    """Closed while all is well. Open after failures in a row: then one request a while is let through as a probe.
    Half open where nothing failed, but all may have changed: a probe is due at once.

    A probe that fails doubles the while; one that succeeds closes the breaker. A probe that never ends delays nothing:
    when its while is over, the next may go. How a request ends that was sent before the breaker opened changes nothing:
    a server that stops still answers what it has accepted. Not safe for threads by itself. Times are of one clock.

    Args:
        after: failures in a row that open it.
        first_s: how long it stays open at first.
        longest_s: and at most.
    """

    __slots__ = ("_after", "_failures", "_first_s", "_longest_s", "_open_s", "_opened", "_until", "closed")

    def __init__(self, *, after: int, first_s: float, longest_s: float) -> None:
        self._after = after
        self._first_s = first_s
        self._longest_s = longest_s
        self._failures = 0
        self._open_s = first_s
        # Kept when it closes: what was sent before fails late, and says nothing of now.
        self._opened = -math.inf
        self._until = -math.inf
        self.closed = True
        """All is well."""

    @property
    def next_at(self) -> float:
        """When a request may be sent; minus infinity while closed."""
        return self._until

    def allows(self, now: float) -> bool:
        """Return whether a request may be sent."""
        return now >= self._until

    def half_open(self, now: float) -> None:
        """Let a probe through at once, and nothing else until it has succeeded."""
        self.closed = False
        self._opened = max(self._opened, now)
        self._until = -math.inf

    def ready(self) -> None:
        """Let the next probe through without waiting."""
        self._until = -math.inf

    def sent(self, now: float) -> None:
        """Note that a request was sent; while open it is the probe."""
        if not self.closed:
            self._until = max(self._until, now + self._open_s)

    def succeeded(self, sent: float) -> None:
        """Note that a request was answered that was sent at ``sent``."""
        if sent > self._opened:
            self._failures = 0
            self._open_s = self._first_s
            self._until = -math.inf
            self.closed = True

    def failed(self, sent: float, now: float, *, at_once: bool = False) -> None:
        """Note that a request failed; ``at_once`` opens whatever the count."""
        if sent <= self._opened:
            return
        self._failures += 1
        if not self.closed:
            self._open_s = min(self._longest_s, 2 * self._open_s)
        elif not at_once and self._failures < self._after:
            return
        self.closed = False
        self._opened = now
        self._until = now + self._open_s
