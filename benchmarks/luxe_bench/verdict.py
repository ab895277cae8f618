"""Raw samples against a model's [slo]."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np

from luxe.schema import Slo
from luxe_bench.samples import Sample

__all__ = ["Check", "Verdict", "judge"]

_ANSWERED_SHARE = 0.99


@dataclasses.dataclass(frozen=True)
class Check:
    """One target: what was measured, and whether it holds."""

    name: str
    measured: float | None
    """None when nothing was answered."""
    relation: str
    """``<=`` or ``>=``"""
    target: float
    met: bool


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What a run showed."""

    passed: bool
    requests: int
    answered: int
    errors: dict[str, int]
    checks: list[Check]


def judge(samples: Sequence[Sample], slo: Slo, *, offered_per_s: float, duration_s: float) -> Verdict:
    """Hold samples against targets. No request, or no answer, is a miss of every target.

    Args:
        offered_per_s: rate of the load in requests/s; 99 % of it must be answered.
        duration_s: how long requests were due.
    """
    latencies = np.array([s.latency_ms for s in samples if s.error is None])
    errors = dict(collections.Counter(s.error for s in samples if s.error is not None))
    answered = len(latencies)

    def percentile(q: float) -> float | None:
        # "higher": a latency that was measured, never one between two.
        return float(np.percentile(latencies, q, method="higher")) if answered else None

    error_share = sum(errors.values()) / len(samples) if samples else None
    checks = [
        _check("p50 ms", percentile(50), "<=", slo.p50_ms),
        _check("p95 ms", percentile(95), "<=", slo.p95_ms),
        _check("p99 ms", percentile(99), "<=", slo.p99_ms),
        _check("answers/s", answered / duration_s, ">=", _ANSWERED_SHARE * offered_per_s),
        _check("error share", error_share, "<=", slo.max_error_share),
    ]
    return Verdict(
        passed=answered > 0 and all(check.met for check in checks),
        requests=len(samples),
        answered=answered,
        errors=errors,
        checks=checks,
    )


def _check(name: str, measured: float | None, relation: str, target: float) -> Check:
    met = measured is not None and (measured <= target if relation == "<=" else measured >= target)
    return Check(name, measured, relation, target, met)
