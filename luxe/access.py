"""Who may change a repository, and when: one lock, held alone to write, together to read.

The lock goes with the process that holds it, however that ends.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from luxe.console import console
from luxe.errors import UserError
from luxe.manifest import NAME
from luxe.repository import beside, leftovers, prefix, recover, state

__all__ = ["LOCK", "reading", "writing"]

LOCK = ".lock"

_TRIES = 10
"""Others may be cut off between a repair and the look after it; what is still there after so many is reported."""


@contextlib.contextmanager
def writing(repository: Path) -> Iterator[None]:
    """Hold the repository alone; a change that was cut off is ended first. The lock goes with the process.

    Raises:
        OSError: it cannot be written.
        UserError: a note of luxe's own is spoilt.
    """
    descriptor = _open(repository, os.O_RDWR | os.O_CREAT)
    try:
        _flock(descriptor, fcntl.LOCK_EX, repository)
        for model in _models(repository):
            if state(repository, model).pending:
                recover(repository, model)
        _sweep(repository)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def reading(repository: Path) -> Iterator[None]:
    """Keep others from changing the repository, and see no half change, as far as this user may end one.

    Where the repository is read-only and nobody ever locked it, there is nothing to hold.
    """
    tries = _TRIES
    while True:
        with _shared(repository):
            if tries == 0 or not _cut_off(repository):
                yield
                return
        try:
            with writing(repository):
                tries -= 1
        except (OSError, UserError):
            tries = 0


def _models(repository: Path) -> list[str]:
    names = (p.name[1 : -len(".json")] for p in repository.glob(".*.json"))
    return [name for name in names if re.fullmatch(NAME, name)]


def _cut_off(repository: Path) -> bool:
    """Return whether a change was cut off; with the lock held, nobody is at it now."""
    for model in _models(repository):
        with contextlib.suppress(UserError, OSError):
            if state(repository, model).pending:
                return True
    return bool(leftovers(repository))


def _sweep(repository: Path) -> None:
    outside = beside(repository).glob(f"{prefix(repository)}*")
    for left in [*leftovers(repository), *outside]:
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


@contextlib.contextmanager
def _shared(repository: Path) -> Iterator[None]:
    descriptor = None
    with contextlib.suppress(OSError):
        descriptor = _open(repository, os.O_RDONLY)
    if descriptor is None:
        with contextlib.suppress(OSError):
            descriptor = _open(repository, os.O_RDONLY | os.O_CREAT)
    try:
        if descriptor is not None:
            _flock(descriptor, fcntl.LOCK_SH, repository)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _open(repository: Path, flags: int) -> int:
    """Open the lock; of a pipe in its place, nobody waits for the other end."""
    path = repository / LOCK
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return descriptor


def _flock(descriptor: int, kind: int, repository: Path) -> None:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        with console.status(f"waiting for another luxe at work in {repository}"):
            fcntl.flock(descriptor, kind)
