"""The order of the search: one pass over the coordinates, then the winner once more against the start."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence

from luxe_bench.tune import choice
from luxe_bench.tune.choice import Measured
from luxe_bench.tune.knobs import COORDINATES, Knobs, alternatives

__all__ = ["FINAL", "Found", "Measure", "Stage", "search"]

FINAL = "final check"

Measure = Callable[[str, Sequence[Knobs]], Sequence[Measured]]
"""Measures settings in turn, the current one first; returns them in the same order."""


@dataclasses.dataclass(frozen=True)
class Stage:
    """Settings that were measured in turn, and so may be compared."""

    name: str
    measured: Sequence[Measured]
    """The current one first."""
    best: Knobs

    @property
    def current(self) -> Measured:
        return self.measured[0]


@dataclasses.dataclass(frozen=True)
class Found:
    """One search."""

    start: Knobs
    winner: Knobs | None
    """The start where nothing is faster; None where nothing keeps the `[slo]`."""
    stages: Sequence[Stage]


def search(
    start: Knobs, cores: int, max_batch_size: int, measure: Measure, *, only: Collection[str] = COORDINATES
) -> Found:
    """Try the values of each coordinate around the best so far, then hold the best against the start again.

    The best of many noisy figures is partly lucky, so the last comparison is made of figures of its own.

    Args:
        only: the coordinates to try; where they leave no value, the start is measured alone.
    """
    stages: list[Stage] = []
    best = start
    for name in (name for name in COORDINATES if name in only):
        others = alternatives(best, cores, max_batch_size)[name]
        if others:
            stages.append(_stage(name, [best, *others], measure))
            best = stages[-1].best
    if best != start or not stages:
        stages.append(_stage(FINAL, [start, best] if best != start else [start], measure))
        best = stages[-1].best
    measured = next(one for stage in reversed(stages) for one in stage.measured if one.knobs == best)
    return Found(start, best if measured.met else None, stages)


def _stage(name: str, values: Sequence[Knobs], measure: Measure) -> Stage:
    measured = measure(name, values)
    return Stage(name, measured, choice.best(measured[0], measured[1:]).knobs)
