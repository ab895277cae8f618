"""Figures from samples, the same ones for every server and every load."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["EXPIRED", "Load", "Summary", "median", "percentile", "refused", "summary"]

EXPIRED = "EXPIRED"
"""Status of a request that waited in the server's queue until its own time was over."""
_REFUSED = ("RESOURCE_EXHAUSTED", "UNAVAILABLE")


@dataclasses.dataclass(frozen=True)
class Load:
    """Everything that happened to the texts of one load, in the order in which they were given.

    Times are seconds from its start; NaN where it never came to that.
    """

    due_s: NDArray[np.float64]
    """When a text was to be sent; in a closed loop, when it was."""
    sent_s: NDArray[np.float64]
    done_s: NDArray[np.float64]
    status: Sequence[str]
    """``OK``, `EXPIRED`, the name of a gRPC status, or ``HTTP 500`` and the like."""
    wall_s: float
    cpu_s: float
    """Of all processes of the server."""
    generator_cpu_s: float

    @property
    def answered(self) -> NDArray[np.bool_]:
        return np.array([status == "OK" for status in self.status], dtype=bool)

    @property
    def sent(self) -> NDArray[np.bool_]:
        return ~np.isnan(self.sent_s)

    @property
    def latency_ms(self) -> NDArray[np.float64]:
        """From when a request was due."""
        return (self.done_s - self.due_s) * 1e3

    @property
    def service_ms(self) -> NDArray[np.float64]:
        """From when a request was sent."""
        return (self.done_s - self.sent_s) * 1e3


@dataclasses.dataclass(frozen=True)
class Summary:
    """One load in numbers."""

    requests: int
    answered: int
    errors: dict[str, int]
    per_s: float
    """Answers a second."""
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    cpu_s_per_1000: float | None
    """Of all processes of the server, a thousand answers."""
    generator_cpu_s_per_1000: float | None
    """Of the load generator, which shares the cores."""


def summary(load: Load) -> Summary:
    """Return the figures of a load; latencies are those of answers."""
    answered = int(load.answered.sum())
    latencies = load.latency_ms[load.answered]
    errors = collections.Counter(s for s, sent in zip(load.status, load.sent, strict=True) if sent and s != "OK")
    return Summary(
        requests=int(load.sent.sum()),
        answered=answered,
        errors=dict(errors),
        per_s=answered / load.wall_s,
        p50_ms=percentile(latencies, 50),
        p95_ms=percentile(latencies, 95),
        p99_ms=percentile(latencies, 99),
        cpu_s_per_1000=1000 * load.cpu_s / answered if answered else None,
        generator_cpu_s_per_1000=1000 * load.generator_cpu_s / answered if answered else None,
    )


def refused(load: Load) -> NDArray[np.bool_]:
    """Return which requests the server turned away to protect itself."""
    return np.array([status in _REFUSED for status in load.status], dtype=bool)


def percentile(values: NDArray[np.float64] | Sequence[float], q: float) -> float | None:
    """Return a value that was measured, never one between two; None where there is none."""
    return float(np.percentile(values, q, method="higher")) if len(values) else None


def median(values: Sequence[float | None]) -> float | None:
    """Return the median; None where a value is missing, or all are."""
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known and len(known) == len(values) else None
