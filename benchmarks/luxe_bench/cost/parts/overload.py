"""What is left of a server's capacity when more is asked of it than it can do."""

from __future__ import annotations

import dataclasses

import numpy as np

from luxe_bench.cost import servers
from luxe_bench.cost.rig import Rig
from luxe_bench.cost.schedule import poisson
from luxe_bench.cost.servers import Target
from luxe_bench.cost.statistics import EXPIRED, Load, Summary, percentile, refused, summary

__all__ = ["CALM", "LATE_MS", "OVER", "Overload", "Step", "overload", "step"]

CALM = 0.8
"""Share of capacity at which a server must still be quick."""
OVER = 3.0
"""Times capacity at which it must not break down."""
LATE_MS = 20.0
"""A request that the generator sends later than this after it was due is counted."""

_FULL = (CALM, 1.0, 1.5, OVER)
_SHORT = (0.25, 0.5, 0.9, 1.1)
"""Shares of capacity for the picture only, a third as long."""
_CAPACITY_CALLERS = (32, 64)
_CAPACITY_TEXTS = 3000
_ONE_CALLER_TEXTS = 500


@dataclasses.dataclass(frozen=True)
class Step:
    """One open loop."""

    share: float
    """Of capacity."""
    offered_per_s: float
    seconds: float
    summary: Summary
    in_time_per_s: float
    """Answers a second within the deadline, counted from when they were due."""
    refused: int
    refusal_p95_ms: float | None
    """From sending to the refusal."""
    refusal_max_ms: float | None
    timed_out: int
    """What a client would see as DeadlineExceeded: an answer later than the deadline after sending, a request that
    expired in the queue, or gRPC's own DEADLINE_EXCEEDED."""
    deadline_exceeded: int
    """Of these, gRPC's own."""
    sent_late: int
    """The generator was over 20 ms late."""


@dataclasses.dataclass(frozen=True)
class Overload:
    """A server from calm to thrice its capacity."""

    deadline_ms: float
    capacity_per_s: float
    capacity_callers: int
    one_caller_p50_ms: float | None
    steps: list[Step]
    """By offered load."""

    def at(self, share: float) -> Step:
        """Return the step at a share of capacity."""
        return next(one for one in self.steps if one.share == share)


def overload(rig: Rig) -> Overload:
    """Find the capacity in closed loops, then offer shares of it on schedules."""
    name = rig.entry.name
    deadline_ms = rig.entry.slo.p99_ms
    with servers.luxe(rig.repository("overload", [name]), name, rig.scratch / "triton.log") as target:
        texts = rig.texts.take(min(_ONE_CALLER_TEXTS, rig.size))
        alone, _ = rig.closed(target, texts, callers=1, what="1 caller")
        capacity, callers = max(_capacity(rig, target, callers) for callers in _CAPACITY_CALLERS)
        steps = []
        for share in sorted((*_FULL, *_SHORT)):
            seconds = rig.seconds if share in _FULL else rig.seconds / 3
            due_s = poisson(share * capacity, seconds)
            what = f"{share:g} × capacity, {share * capacity:.0f} requests/s"
            load = rig.open(target, due_s, what=what, timeout_s=deadline_ms / 1e3)
            steps.append(step(load, share, share * capacity, seconds, deadline_ms))
    return Overload(deadline_ms, capacity, callers, summary(alone).p50_ms, steps)


def step(load: Load, share: float, offered_per_s: float, seconds: float, deadline_ms: float) -> Step:
    """Return the figures of one open loop."""
    away = refused(load)
    refusal_ms = load.service_ms[away]
    in_time = load.answered & (load.latency_ms <= deadline_ms)
    exceeded = load.status.count("DEADLINE_EXCEEDED")
    late_answers = int((load.answered & (load.service_ms > deadline_ms)).sum())
    return Step(
        share=share,
        offered_per_s=offered_per_s,
        seconds=seconds,
        summary=summary(load),
        in_time_per_s=float(in_time.sum()) / seconds,
        refused=int(away.sum()),
        refusal_p95_ms=percentile(refusal_ms, 95),
        refusal_max_ms=percentile(refusal_ms, 100),
        timed_out=late_answers + load.status.count(EXPIRED) + exceeded,
        deadline_exceeded=exceeded,
        sent_late=int((np.nan_to_num(load.sent_s - load.due_s, nan=np.inf) * 1e3 > LATE_MS).sum()),
    )


def _capacity(rig: Rig, target: Target, callers: int) -> tuple[float, int]:
    texts = rig.texts.take(min(_CAPACITY_TEXTS, rig.size))
    load, _ = rig.closed(target, texts, callers=callers, what=f"capacity, {callers} callers")
    return summary(load).per_s, callers
