"""What a run is held against. A target that could not be measured is missed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from luxe_bench.cost.parts.cache import Cache
from luxe_bench.cost.parts.latency import Latency
from luxe_bench.cost.parts.memory import Memory
from luxe_bench.cost.parts.neighbours import Neighbours
from luxe_bench.cost.parts.overload import CALM, OVER, Overload
from luxe_bench.cost.parts.ratio import Ratio
from luxe_bench.verdict import Check

__all__ = ["Results", "judge"]

_MAX_CPU_OVER_ENGINE = 1.15
_MIN_RATE_OVER_FASTAPI = 2.0
_MAX_CPU_OVER_FASTAPI = 0.5
_MAX_P50_OVER_FASTAPI = 1.0
_MAX_ABOVE_ENGINE_MS = 1.5
_MAX_PADDING_SHARE = 0.10
_MIN_GOODPUT_SHARE = 0.9
_MAX_REFUSAL_MS = 50.0
_MAX_CALM_P95 = 3.0
_MAX_NEIGHBOUR = 2.0
_MAX_SENT_LATE = 0.01
"""Of the requests; with more, the load was not the one that was asked for."""


@dataclasses.dataclass(frozen=True)
class Results:
    """What each part found; None where it was not asked for."""

    ratio: Ratio | None = None
    latency: Latency | None = None
    overload: Overload | None = None
    memory: Memory | None = None
    cache: Cache | None = None
    """None as well where the model has no cache."""
    neighbours: Neighbours | None = None
    checked: int = 0
    wrong: int = 0
    """Answers that were not those of their texts."""
    failed: int = 0
    """Requests of closed loops that were not answered."""
    broken: dict[str, str] = dataclasses.field(default_factory=dict)
    """Parts that could not be measured, and why."""


def judge(results: Results) -> list[Check]:
    """Return the targets of those parts that ran."""
    checks = [_most("wrong answers", results.wrong, 0), _most("unanswered in closed loops", results.failed, 0)]
    checks += [_most(f"{part} could not be measured", 1, 0) for part in results.broken]
    if results.ratio:
        checks += _of_ratio(results.ratio)
    if results.latency:
        checks.append(_most("padding share, 32 callers", results.latency.padding_share, _MAX_PADDING_SHARE))
    if results.overload:
        checks += _of_overload(results.overload)
    if results.neighbours:
        checks.append(_most("p95 beside a flood / alone", results.neighbours.ratio, _MAX_NEIGHBOUR))
    return checks


def _of_ratio(found: Ratio) -> Iterator[Check]:
    yield _most("CPU / engine alone", found.luxe_over_engine_cpu, _MAX_CPU_OVER_ENGINE)
    yield _most("p50 above engine, 1 caller, ms", found.luxe_above_engine_ms, _MAX_ABOVE_ENGINE_MS)
    yield _least("requests/s / FastAPI", found.luxe_over_fastapi_per_s, _MIN_RATE_OVER_FASTAPI)
    yield _most("CPU / FastAPI", found.luxe_over_fastapi_cpu, _MAX_CPU_OVER_FASTAPI)
    yield _most("p50 / FastAPI, 1 caller", found.luxe_over_fastapi_p50, _MAX_P50_OVER_FASTAPI)


def _of_overload(found: Overload) -> Iterator[Check]:
    over, calm = found.at(OVER), found.at(CALM)
    late = calm.sent_late / calm.summary.requests if calm.summary.requests else None
    yield _most(f"sent late at {CALM:.0%}, share", late, _MAX_SENT_LATE)
    yield _least(f"in time at {OVER:g}× / capacity", over.in_time_per_s / found.capacity_per_s, _MIN_GOODPUT_SHARE)
    # Where nothing was refused, nothing was refused slowly.
    yield _most(f"refusals at {OVER:g}×, p95 ms", over.refusal_p95_ms if over.refused else 0.0, _MAX_REFUSAL_MS)
    yield _most(f"timed out at {OVER:g}×", over.timed_out, 0)
    p95, p50 = calm.summary.p95_ms, found.one_caller_p50_ms
    ratio = p95 / p50 if p95 is not None and p50 else None
    yield _most(f"p95 at {CALM:.0%} / p50 of 1 caller", ratio, _MAX_CALM_P95)


def _most(name: str, measured: float | None, target: float) -> Check:
    return Check(name, measured, "<=", target, measured is not None and measured <= target)


def _least(name: str, measured: float | None, target: float) -> Check:
    return Check(name, measured, ">=", target, measured is not None and measured >= target)
