"""The server's own log: every start appends to it, so that what led to a restart can still be read."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import IO

from luxe.errors import UserError

__all__ = ["LogFile"]

_MOST = 64 * 2**20
"""In bytes; a larger log is put aside when a server starts, in place of the one put aside before."""


class LogFile:
    """A log from one start on.

    Raises:
        UserError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists() and path.stat().st_size > _MOST:
                path.replace(path.with_name(f"{path.name}.1"))
            with self.open() as file:
                self.start = file.tell()
                """Where this start's part begins, in bytes."""
        except OSError as error:
            raise UserError(f"cannot write the server's log {path}: {error.strerror}") from None

    def open(self) -> IO[bytes]:
        return self.path.open("ab")

    def first_error(self, since: int | None = None) -> str:
        """Return the first error of this start, or from a place on, as one line; the last line where there is none."""
        lines: list[str] = []
        with contextlib.suppress(OSError), self.path.open("rb") as file:
            file.seek(self.start if since is None else since)
            lines = file.read(_MOST).decode(errors="replace").splitlines()
        errors = [line for line in lines if " E " in line and "CudaDriverHelper" not in line]
        return (errors or lines[-1:] or ["no output"])[0].strip()
