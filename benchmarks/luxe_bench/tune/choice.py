"""Which of several settings is the best, and how sure that is.

Settings are compared round by round: what else the machine does falls on all of a round alike, more or less. A
challenger is `faster` where the median of the rounds' ratios exceeds `GAIN` and their mean exceeds 1 by more than twice
its standard error: a restless machine needs a larger gain. What lies within is noise, and the current one stays.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence

from luxe_bench.cost.statistics import Summary, median
from luxe_bench.tune.knobs import Knobs
from luxe_bench.verdict import Check

__all__ = ["GAIN", "Measured", "best", "faster", "hopeless", "ratio", "ratios"]

GAIN = 1.03
"""Requests/s over those of the current settings that a challenger must exceed."""
_ERRORS = 2.0
"""Standard errors by which it must exceed them."""
_HOPELESS = 0.9
_ENOUGH_ROUNDS = 2


@dataclasses.dataclass(frozen=True)
class Measured:
    """One setting, in one comparison."""

    knobs: Knobs
    rounds: Sequence[Summary]
    """Of a closed loop at 32 callers. A hopeless challenger has fewer."""
    open: Summary
    """Of an open loop at the rate of the `[slo]`."""
    checks: Sequence[Check]
    """The `[slo]`, held against the open loop."""

    @property
    def unanswered(self) -> int:
        """Requests of the closed loops, which no server may refuse, that were not answered."""
        return sum(one.requests - one.answered for one in self.rounds)

    @property
    def met(self) -> bool:
        """Whether it keeps the `[slo]` and answers everybody."""
        return all(check.met for check in self.checks) and not self.unanswered

    @property
    def per_s(self) -> float | None:
        """Median of the rounds' requests a second."""
        return median([one.per_s for one in self.rounds])

    @property
    def cpu_s_per_1000(self) -> float | None:
        """Median of the rounds' CPU seconds of the server, a thousand texts."""
        return median([one.cpu_s_per_1000 for one in self.rounds])


def ratios(challenger: Measured, current: Measured) -> list[float]:
    """Return the challenger's requests/s over the current one's in each round that both took part in."""
    pairs = zip(challenger.rounds, current.rounds, strict=False)
    return [one.per_s / other.per_s for one, other in pairs if other.per_s]


def ratio(challenger: Measured, current: Measured) -> float | None:
    """Return the median of the rounds' ratios; None where the current one answered nothing."""
    return median(ratios(challenger, current))


def faster(challenger: Measured, current: Measured) -> bool:
    """Return whether a challenger answers more requests a second, by more than noise; one round shows no noise."""
    found = ratios(challenger, current)
    if not found or statistics.median(found) <= GAIN:
        return False
    error = statistics.stdev(found) / math.sqrt(len(found)) if len(found) > 1 else 0.0
    return statistics.mean(found) > 1 + _ERRORS * error


def hopeless(challenger: Measured, current: Measured) -> bool:
    """Return whether more rounds are wasted: a challenger that misses the `[slo]`, or loses two or more, all clearly.

    Not where the current one misses it, for then any challenger may win.
    """
    found = ratios(challenger, current)
    if len(challenger.rounds) < _ENOUGH_ROUNDS or not current.met:
        return False
    return not challenger.met or all(one < _HOPELESS for one in found)


def best(current: Measured, challengers: Sequence[Measured]) -> Measured:
    """Return the fastest of those that keep the `[slo]`; the current one unless another beats it by more than noise.

    Where only challengers keep it, the fastest of them. Where none does, the current one.
    """
    able = [one for one in challengers if one.met]
    if current.met:
        able = [one for one in able if faster(one, current)]
    return max(able, key=lambda one: (ratio(one, current) or 0.0, one.per_s or 0.0), default=current)
