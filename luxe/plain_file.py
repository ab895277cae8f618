"""Files that are what they seem: regular, with one name, in their place. Nothing else is opened, nor waited for."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

__all__ = ["PlainFile", "Refused", "oddity", "opened", "read"]


class Refused(ValueError):
    """A file that is not even opened, or not what it shall be; the message says why."""


class PlainFile:
    """An open regular file."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size
        """In bytes."""

    def read(self, most: int) -> bytes:
        """Return the whole content.

        Raises:
            Refused: it is over ``most`` bytes.
        """
        if self.size > most:
            raise Refused(f"over {most} bytes")
        return os.pread(self._descriptor, most, 0)

    def sha256(self) -> str:
        """Return the hash of the content."""
        digest, at = hashlib.sha256(), 0
        while block := os.pread(self._descriptor, 2**20, at):
            digest.update(block)
            at += len(block)
        return digest.hexdigest()


@contextlib.contextmanager
def opened(path: Path, *, size: int | None = None) -> Iterator[PlainFile]:
    """Open a regular file with one name and, where given, the right size in bytes.

    Raises:
        Refused: it is something else.
        OSError: it cannot be opened.
    """
    _refuse(path.lstat())
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _refuse(os.fstat(descriptor))
        file = PlainFile(descriptor)
        if size is not None and file.size != size:
            raise Refused(f"{file.size} bytes; the manifest says {size}")
        yield file
    finally:
        os.close(descriptor)


def read(path: Path, *, most: int) -> bytes:
    """Return the content of a regular file with one name.

    Raises:
        Refused: it is something else, or over ``most`` bytes.
        OSError: it cannot be read.
    """
    with opened(path) as file:
        return file.read(most)


def oddity(status: os.stat_result) -> str | None:
    """Return what a path is when it is no regular file with one name; ``status`` is of the path, not its target."""
    if stat.S_ISLNK(status.st_mode):
        return "a symbolic link"
    if stat.S_ISDIR(status.st_mode):
        return "a folder where none belongs"
    if not stat.S_ISREG(status.st_mode):
        return "a special file"
    return "has a second name (hard link)" if status.st_nlink > 1 else None


def _refuse(status: os.stat_result) -> None:
    if what := oddity(status):
        raise Refused(what)
