"""How much of the machine everything else took meanwhile: figures that it disturbed are worth less."""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path

from luxe_bench import processes

__all__ = ["Moment", "now", "share"]

_BUSY = (0, 1, 2, 5, 6, 7)
"""Of the times of /proc/stat: user, nice, system, irq, softirq, and what the host took (steal)."""
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass(frozen=True)
class Moment:
    """Seconds since some start."""

    wall_s: float
    busy_s: float
    """Of all processors together."""
    own_s: float
    """Of this process and all that it started."""
    processors: int


def now(stat: Path = Path("/proc/stat")) -> Moment:
    """Return the moment."""
    whole, *rest = stat.read_text(encoding="utf-8").splitlines()
    times = [int(word) for word in whole.split()[1:]]
    processors = sum(line.startswith("cpu") for line in rest)
    own_s, _ = processes.tree(os.getpid())
    return Moment(time.monotonic(), sum(times[i] for i in _BUSY) / _TICKS, own_s, processors)


def share(before: Moment, after: Moment) -> float:
    """Return the share of the machine's processors that others took between two moments, 0 to 1."""
    others_s = (after.busy_s - before.busy_s) - (after.own_s - before.own_s)
    whole_s = (after.wall_s - before.wall_s) * after.processors
    return min(1.0, max(0.0, others_s / whole_s)) if whole_s > 0 else 0.0
