"""Two models in one server: what a flood of one does to the other."""

from __future__ import annotations

import dataclasses
import time

from luxe.console import step
from luxe_bench.cost import servers
from luxe_bench.cost.rig import Rig
from luxe_bench.cost.schedule import poisson
from luxe_bench.cost.statistics import Summary, summary

__all__ = ["Neighbours", "neighbours"]

_QUIET_PER_S = 20.0
_FLOOD_CALLERS = 64
_PROBE_TEXTS = 400
_LEAD_S = 1.0
"""The flood begins so long before the quiet model's load, and ends so long after."""
_ROOM = 1.5
"""Texts for the flood, in what it answered a second before."""


@dataclasses.dataclass(frozen=True)
class Neighbours:
    """The quiet model alone and beside the flooded one."""

    alone: Summary
    beside: Summary
    flood: Summary
    ratio: float | None
    """p95 beside over p95 alone."""


def neighbours(rig: Rig) -> Neighbours:
    """Load one model lightly on a schedule, alone and while the other has 64 callers."""
    name = rig.entry.name
    quiet = f"{name}-quiet"
    with servers.luxe(rig.repository("neighbours", [name, quiet]), name, rig.scratch / "triton.log") as flooded:
        target = dataclasses.replace(flooded, model=quiet)
        due_s = poisson(_QUIET_PER_S, rig.seconds)
        alone = summary(rig.open(target, due_s, what=f"{quiet} alone"))
        texts = rig.texts.take(min(_PROBE_TEXTS, rig.size))
        probe = summary(rig.closed(flooded, texts, callers=_FLOOD_CALLERS, what="the flood's own rate")[0])
        seconds = rig.seconds + 2 * _LEAD_S
        flood_texts = rig.texts.take(int(probe.per_s * _ROOM * seconds) + _FLOOD_CALLERS)
        quiet_texts = rig.texts.take(len(due_s))
        step(f"{quiet} for {rig.seconds:g} s beside a flood of {name}")
        with (
            rig.start(target, quiet_texts, due_s=due_s, name="quiet") as few,
            rig.start(flooded, flood_texts, callers=_FLOOD_CALLERS, seconds=seconds, name="flood") as many,
        ):
            many.go()
            time.sleep(_LEAD_S)
            few.go()
            few.wait()
            many.wait()
        beside, flood = summary(rig.finish(few)), summary(rig.finish(many))
    ratio = beside.p95_ms / alone.p95_ms if beside.p95_ms is not None and alone.p95_ms is not None else None
    return Neighbours(alone, beside, flood, ratio)
