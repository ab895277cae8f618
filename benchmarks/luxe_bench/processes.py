"""What a process and all that it starts cost: processor time, and resident memory at the peak."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

__all__ = ["Cost", "Now", "run"]

_PAUSE_S = 0.05
_PAGE, _TICKS = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass(frozen=True)
class Cost:
    """One run of a command."""

    status: int
    wall_s: float
    cpu_s: float
    """User and system time of the process and of all children that it waited for."""
    peak_bytes: int
    """Resident memory of all processes of the tree at once, sampled 20 times a second and added up, so that what they
    share counts in each; at least what the largest of them alone had at its peak, which the kernel knows exactly."""
    largest_bytes: int
    """``ru_maxrss``: of the largest process alone."""


@dataclasses.dataclass(frozen=True)
class Now:
    """A running tree: seconds since its start, processor seconds so far, resident bytes."""

    wall_s: float
    cpu_s: float
    resident_bytes: int


def run(command: Sequence[str], *, log: Path, cores: Sequence[int], look: Callable[[Now], None] | None = None) -> Cost:
    """Run a command to its end and measure it.

    Args:
        log: receives its standard output and error.
        cores: what it may run on.
        look: called 20 times a second.
    """
    began = time.monotonic()
    peak = 0
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        os.sched_setaffinity(process.pid, cores)  # before it has read how many there are
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            cpu_s, resident_bytes = _tree(process.pid)
            peak = max(peak, resident_bytes)
            if look:
                look(Now(time.monotonic() - began, cpu_s, resident_bytes))
            time.sleep(_PAUSE_S)
        process.returncode = os.waitstatus_to_exitcode(status)
    finally:
        if process.returncode is None:
            process.kill()
            process.wait()
    largest = usage.ru_maxrss * 1024
    return Cost(
        status=process.returncode,
        wall_s=time.monotonic() - began,
        cpu_s=usage.ru_utime + usage.ru_stime,
        peak_bytes=max(peak, largest),
        largest_bytes=largest,
    )


def _tree(root: int) -> tuple[float, int]:
    """Return the processor seconds and the resident bytes of a process and its descendants."""
    ticks = resident = 0
    waiting = [root]
    while waiting:
        folder = Path("/proc") / str(waiting.pop())
        with contextlib.suppress(OSError):  # it has ended
            resident += int((folder / "statm").read_text().split()[1]) * _PAGE
            # The name, in brackets, may hold spaces. Of itself and of the children that it waited for, user and system.
            ticks += sum(map(int, (folder / "stat").read_text().rpartition(")")[2].split()[11:15]))
            for children in folder.glob("task/*/children"):
                with contextlib.suppress(OSError):
                    waiting += map(int, children.read_text().split())
    return ticks / _TICKS, resident
