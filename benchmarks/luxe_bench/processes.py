"""What a process and all that it starts cost: processor time, and resident memory at the peak."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

__all__ = ["Cost", "Now", "pids", "proportional_bytes", "run", "tree"]

_PAUSE_S = 0.05
_GRACE_S = 10.0
"""For an interrupted command to remove what it wrote."""
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
    share counts in each; at least ``largest_bytes``."""
    largest_bytes: int
    """Of the largest process alone, its peak as the kernel keeps it (VmHWM), last read at most 1/20 s before its end.
    ``ru_maxrss`` is no substitute: it survives ``exec``, and so holds what this process had when it forked."""


@dataclasses.dataclass(frozen=True)
class Now:
    """A running tree: seconds since its start, processor seconds so far, resident bytes."""

    wall_s: float
    cpu_s: float
    resident_bytes: int


def run(command: Sequence[str], *, log: Path, cores: Sequence[int], look: Callable[[Now], None] | None = None) -> Cost:
    """Run a command to its end and measure it.

    It gets a session of its own. When this is interrupted, the command and all that it started are asked to end, so
    that they tidy up, and are killed when they do not.

    Args:
        log: receives its standard output and error.
        cores: what it may run on.
        look: called 20 times a second.
    """
    began = time.monotonic()
    peak = largest = 0
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        os.sched_setaffinity(process.pid, cores)  # before it has read how many there are
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            cpu_s, resident_bytes = tree(process.pid)
            peak = max(peak, resident_bytes)
            largest = max(largest, _largest(process.pid))
            if look:
                look(Now(time.monotonic() - began, cpu_s, resident_bytes))
            time.sleep(_PAUSE_S)
        process.returncode = os.waitstatus_to_exitcode(status)
    finally:
        if process.returncode is None:
            _end(process)
    return Cost(
        status=process.returncode,
        wall_s=time.monotonic() - began,
        cpu_s=usage.ru_utime + usage.ru_stime,
        peak_bytes=max(peak, largest),
        largest_bytes=largest,
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and its whole session: SIGINT, then SIGKILL for what is left."""
    until = time.monotonic() + _GRACE_S
    gone = contextlib.suppress(ProcessLookupError, ChildProcessError)  # interrupted just when it had ended
    try:
        with gone:
            os.killpg(process.pid, signal.SIGINT)
            # It is looked at and not reaped, so that no other group can have its number.
            look = os.WEXITED | os.WNOHANG | os.WNOWAIT
            while time.monotonic() < until and not os.waitid(os.P_PID, process.pid, look):
                time.sleep(_PAUSE_S)
    finally:  # a second Ctrl-C waits no longer
        with gone:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def pids(root: int) -> list[int]:
    """Return a process and its descendants, parents before their children."""
    return [int(folder.name) for folder in _folders(root) if folder.exists()]


def tree(root: int) -> tuple[float, int]:
    """Return the processor seconds and the resident bytes of a process and its descendants."""
    ticks = resident = 0
    for folder in _folders(root):
        with contextlib.suppress(OSError):  # it has ended
            resident += int((folder / "statm").read_text().split()[1]) * _PAGE
            # The name, in brackets, may hold spaces. Of itself and of the children that it waited for, user and system.
            ticks += sum(map(int, (folder / "stat").read_text().rpartition(")")[2].split()[11:15]))
    return ticks / _TICKS, resident


def _largest(root: int) -> int:
    """Return the peak so far of that process of a tree which had the highest, in bytes."""
    peaks = [0]
    for folder in _folders(root):
        with contextlib.suppress(OSError):
            lines = (folder / "status").read_text().splitlines()
            peaks += [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")]
    return max(peaks)


def proportional_bytes(root: int) -> int:
    """Return the memory of a process and its descendants where a page that n processes share counts 1/n in each."""
    kilobytes = 0
    for folder in _folders(root):
        with contextlib.suppress(OSError):
            lines = (folder / "smaps_rollup").read_text().splitlines()
            kilobytes += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kilobytes * 1024


def _folders(root: int) -> Iterator[Path]:
    """Yield the folder below ``/proc`` of a process and of each of its descendants."""
    waiting = [root]
    while waiting:
        folder = Path("/proc") / str(waiting.pop())
        yield folder
        with contextlib.suppress(OSError):
            for children in folder.glob("task/*/children"):
                with contextlib.suppress(OSError):
                    waiting += map(int, children.read_text().split())
