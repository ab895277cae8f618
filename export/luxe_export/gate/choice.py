"""Which candidate is published, and why the others are not."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from luxe_export.gate.latency import Latency
from luxe_export.gate.measurement import Measurement

__all__ = ["EQUALLY_FAST", "Verdict", "choose", "explain"]

EQUALLY_FAST = 1.10
"""Candidates this many times as slow as the fastest are as fast as it: two exports differ by nearly as much."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """One candidate: what was measured, and why it was refused, if it was."""

    candidate: str
    measurement: Measurement | None
    """None when it could not be built or measured."""
    latency: Latency | None
    findings: tuple[str, ...]

    @property
    def passes(self) -> bool:
        return self.measurement is not None and not self.findings

    def to_json(self) -> dict[str, Any]:
        """Return what `json.dumps` takes: the fields' names, and theirs."""
        return {
            "candidate": self.candidate,
            "measurement": self.measurement and self.measurement.to_json(),
            "latency": self.latency and self.latency.to_json(),
            "findings": list(self.findings),
        }


def choose(verdicts: Sequence[Verdict]) -> Verdict | None:
    """Return the fastest candidate that passes, at the working point; None when none does.

    Of those within 10 % of the fastest the first in the ladder's order wins, so that the noise of a timing does not
    decide what is published: the same inputs give the same bytes. What was not timed loses against what was; where
    nothing could be timed (an export for a GPU on a machine without) the first wins.

    Args:
        verdicts: in the ladder's order.
    """
    timed = [verdict for verdict in verdicts if verdict.passes and verdict.latency]
    if not timed:
        return next((verdict for verdict in verdicts if verdict.passes), None)
    bound = _fastest(verdicts) * EQUALLY_FAST
    return next(verdict for verdict in timed if _time(verdict) <= bound)


def explain(verdicts: Sequence[Verdict]) -> list[str]:
    """Return lines that say of each candidate why it won or lost, in the ladder's order."""
    winner = choose(verdicts)
    lines = []
    for verdict in verdicts:
        reasons: Sequence[str] = verdict.findings
        if winner is verdict and verdict.latency is None:
            reasons = ["wins: the first that passes; it was not timed"]
        elif winner is verdict and verdict.latency:
            reasons = [f"wins: {verdict.latency.ms_per_text:.2f} ms a text{_against_fp32(verdict)}"]
        elif winner is not None and verdict.passes and verdict.latency:
            reasons = [_beaten(verdict, _fastest(verdicts), winner)]
        elif not reasons:
            reasons = ["was not timed"]
        lines += [f"{verdict.candidate}: {reason}" for reason in reasons]
    return lines


def _beaten(verdict: Verdict, fastest: float, winner: Verdict) -> str:
    times = f"{_time(verdict) / fastest:.2f}x the fastest's time"
    if _time(verdict) > fastest * EQUALLY_FAST:
        return f"passes, but takes {times}"
    return f"passes in {times}, which counts as equal; {winner.candidate} comes first"


def _against_fp32(verdict: Verdict) -> str:
    ratio = verdict.latency.ratio if verdict.latency else None
    return "" if ratio is None else f", {ratio:.2f}x fp32's time"


def _fastest(verdicts: Sequence[Verdict]) -> float:
    """Return the time of the fastest that passes, who need not be the winner."""
    return min(_time(verdict) for verdict in verdicts if verdict.passes and verdict.latency)


def _time(verdict: Verdict) -> float:
    """Return the time against fp32 in the same rounds, which noise hits alike; without fp32 in milliseconds."""
    assert verdict.latency is not None
    ratio = verdict.latency.ratio
    return verdict.latency.ms_per_text if ratio is None else ratio
