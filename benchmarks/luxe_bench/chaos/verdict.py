"""What a run is held against: no call fails, and the client does not buy that with a flood of retries."""

from __future__ import annotations

from collections.abc import Sequence

from luxe_bench.chaos.figures import ALL, CALM, Figures
from luxe_bench.verdict import Check

__all__ = ["MAX_TRIES", "judge"]

MAX_TRIES = 1.1
"""Tries a call."""


def judge(found: Sequence[Figures]) -> list[Check]:
    """Return the targets, of all calls. A phase without calls, or in which nothing was done, shows nothing."""
    whole = next(one for one in found if one.name == ALL)
    checks = [
        _most("failed calls", whole.failed, 0),
        _most("wrong answers", whole.wrong, 0),
        _most("unsent calls", whole.unsent, 0),
        _most("tries a call", whole.tries_a_call, MAX_TRIES),
    ]
    for one in found:
        if one.name not in (ALL, CALM):
            checks += [_least(f"calls in {one.name}", one.calls), _least(f"events in {one.name}", one.events)]
    return checks


def _most(name: str, measured: float | None, target: float) -> Check:
    return Check(name, measured, "<=", target, measured is not None and measured <= target)


def _least(name: str, measured: int) -> Check:
    return Check(name, measured, ">=", 1, measured >= 1)
