"""How many cores this process may use: its affinity, and the quota of its control groups."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["granted", "instances"]

_ROOT = Path("/")


def granted(root: Path = _ROOT) -> int:
    """Return the cores that affinity and quota grant, at least 1; a part of a core counts as one.

    Args:
        root: where /proc and /sys are.
    """
    return max(1, math.ceil(min([float(len(os.sched_getaffinity(0))), *_quotas(root)])))


def instances(threads: int, *, cores: int | None = None) -> int:
    """Return how many engines of so many threads fit the cores, at least 1; ``cores`` are those granted unless told."""
    return max(1, (granted() if cores is None else cores) // max(1, threads))


def _quotas(root: Path) -> Iterator[float]:
    """Yield the cores that each control group above this process grants; nothing where none has a quota."""
    for group in _groups(root):
        limit = _words(group / "cpu.max")  # version 2: "150000 100000", or "max 100000"
        if not limit:
            limit = _words(group / "cpu.cfs_quota_us") + _words(group / "cpu.cfs_period_us")  # version 1
        if len(limit) == 2 and all(word.isdecimal() and int(word) > 0 for word in limit):
            yield int(limit[0]) / int(limit[1])


def _groups(root: Path) -> Iterator[Path]:
    """Yield the folders of this process's groups and of all above them, as every one of them limits it.

    In a container the path may be the host's, of which only the top is mounted; it holds the container's own quota.
    """
    mounts = root / "sys" / "fs" / "cgroup"
    try:
        lines = (root / "proc" / "self" / "cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = ["0::/"]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        tops = [mounts / controllers, mounts / "cpu"] if controllers else [mounts, mounts / "unified"]
        if controllers and "cpu" not in controllers.split(","):
            continue
        for top in tops:
            group = top / path.lstrip("/")
            yield from (folder for folder in (group, *group.parents) if folder.is_relative_to(top))


def _words(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").split()
    except OSError:
        return []
