"""A server's own folder and its segments of shared memory: made, removed, and swept after a launcher that was killed.

The folder holds a file that is locked as long as a process of the server lives, whichever ends first; a lock goes with
its processes, and so tells more than a number, which another process may have by now.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

__all__ = ["Scratch", "sweep"]

_PREFIX = "luxe-serve-"
_LOCK = ".owner"
_SHARED_MEMORY = Path("/dev/shm")


class Scratch:
    """A folder that goes with its server."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self.shm_prefix = f"{self.folder.name}-"
        new = self.folder / f"{_LOCK}.new"
        self.lock = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        """Descriptor that the server's processes inherit; each of them keeps the folder."""
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        os.write(self.lock, f"{os.getpid()}\n".encode())
        new.rename(self.folder / _LOCK)  # only now may `sweep` look at it

    def release(self) -> None:
        """The server holds the lock now; with it goes its claim."""
        if self.lock >= 0:
            os.close(self.lock)
            self.lock = -1

    def remove(self) -> None:
        """Remove the folder and the segments."""
        self.release()
        _remove(self.folder)


def sweep() -> list[str]:
    """Remove what servers left whose processes are all gone; returns the names of their folders."""
    swept = []
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if folder.is_symlink() or folder.lstat().st_uid != os.geteuid():
                continue
            descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(folder)
                swept.append(folder.name)
            finally:
                os.close(descriptor)
    return swept


def _remove(folder: Path) -> None:
    for segment in _SHARED_MEMORY.glob(f"{folder.name}-*"):
        segment.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
