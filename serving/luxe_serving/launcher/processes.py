"""Processes as the kernel lists them, in /proc."""

from __future__ import annotations

from pathlib import Path

__all__ = ["arguments", "children", "started", "state"]

_PROC = Path("/proc")


def children(pid: int) -> frozenset[int]:
    """Return the direct children of a process, those that have ended and that nobody waited for included."""
    numbers = (int(path.name) for path in _PROC.iterdir() if path.name.isdecimal())
    return frozenset(number for number in numbers if (fields := _stat(number)) and int(fields[1]) == pid)


def state(pid: int, *, parent: int) -> str:
    """Return ``running``, ``zombie`` (ended, and nobody waited for it) or ``gone`` for a child of a process."""
    fields = _stat(pid)
    if not fields or int(fields[1]) != parent:
        return "gone"
    return "zombie" if fields[0] in ("Z", "X") else "running"


def started(pid: int) -> int | None:
    """Return when a process started, in ticks since the machine did; None when it has ended. Tells reused numbers."""
    fields = _stat(pid)
    return int(fields[19]) if fields and fields[0] not in ("Z", "X") else None


def arguments(pid: int) -> list[str]:
    """Return the command line of a process; empty when it has ended."""
    try:
        return (_PROC / str(pid) / "cmdline").read_text(errors="replace").split("\0")[:-1]
    except OSError:
        return []


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat that follow the name, which may hold anything; empty when it has gone."""
    try:
        return (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []
