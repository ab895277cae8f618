"""The figures of a run, phase by phase; what was due between the phases is calm."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Sequence

from luxe_bench.chaos.calls import OK, Call, Event, Phase
from luxe_bench.cost.statistics import percentile

__all__ = ["ALL", "CALM", "Figures", "figures"]

CALM, ALL = "calm", "all"


@dataclasses.dataclass(frozen=True)
class Figures:
    """Some of a run's calls in numbers."""

    name: str
    seconds: float
    events: int
    """What was done to servers meanwhile."""
    calls: int
    """That were due, sent or not."""
    failed: int
    """Sent, and not answered."""
    wrong: int
    """Answered, and not with the known answer."""
    unsent: int
    tries: int
    tries_a_call: float | None
    """Of calls that were sent; None where there are none."""
    p50_ms: float | None
    p99_ms: float | None
    """Of answers, from when the call was due; as `p50_ms` and `most_ms`."""
    most_ms: float | None
    errors: dict[str, int]
    """Failed calls by the name of the error."""
    versions: dict[str, int]
    """Answers by version of the model."""


def figures(calls: Sequence[Call], phases: Sequence[Phase], events: Sequence[Event], *, end_s: float) -> list[Figures]:
    """Return the figures of the calm, of each phase, and of everything; a call belongs to the time it was due.

    Args:
        calls: all that were due.
        phases: one after the other; none overlaps.
        events: all of them.
        end_s: when the run ended.
    """
    phased = [
        _some(
            phase.name,
            phase.end_s - phase.begin_s,
            [call for call in calls if _in(phase, call.due_s)],
            sum(_in(phase, event.at_s) for event in events),
        )
        for phase in phases
    ]
    calm = [call for call in calls if not any(_in(phase, call.due_s) for phase in phases)]
    calm_s = end_s - sum(one.seconds for one in phased)
    return [_some(CALM, calm_s, calm, 0), *phased, _some(ALL, end_s, calls, len(events))]


def _in(phase: Phase, at_s: float) -> bool:
    return phase.begin_s <= at_s < phase.end_s


def _some(name: str, seconds: float, calls: Sequence[Call], events: int) -> Figures:
    sent = [call for call in calls if call.sent_s is not None]
    answered = [call for call in sent if call.outcome == OK]
    latencies = [ms for call in answered if (ms := call.latency_ms) is not None]
    tries = sum(call.tries for call in sent)
    return Figures(
        name=name,
        seconds=seconds,
        events=events,
        calls=len(calls),
        failed=len(sent) - len(answered),
        wrong=sum(call.wrong for call in answered),
        unsent=len(calls) - len(sent),
        tries=tries,
        tries_a_call=tries / len(sent) if sent else None,
        p50_ms=percentile(latencies, 50),
        p99_ms=percentile(latencies, 99),
        most_ms=max(latencies, default=None),
        errors=_count(call.outcome or "no end" for call in sent if call.outcome != OK),
        versions=_count(call.version or "none" for call in answered),
    )


def _count(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(collections.Counter(names).items()))
