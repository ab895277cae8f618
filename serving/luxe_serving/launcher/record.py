"""What a launcher leaves for `luxe load` and `luxe unload`: one file for each server of a project that runs.

The file holds the key that opens the administrative protocols, so only its owner may read it. Whoever changes what is
loaded locks it; meanwhile the supervisor takes no model that goes for one that died. Each change counts it up.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

from luxe.console import console
from luxe.errors import UserError
from luxe_serving.launcher import processes
from luxe_serving.launcher.arguments import Address

__all__ = ["Record", "Running", "find"]

_PREFIX = "serving-"


@dataclasses.dataclass(frozen=True)
class Running:
    """A server that runs, as its launcher wrote it down."""

    pid: int
    """Of the launcher."""
    started: int
    """When that process started; a number alone may be another's by now."""
    http: str
    grpc: str
    metrics: str
    key: str
    public_key: str | None
    """File with the key that every version must be signed with."""
    changes: int = 0


class Record:
    """The file of one server. Safe for one thread."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, folder: Path, address: Address, *, key: str, public_key: Path | None) -> Record:
        """Write a server down, and remove what launchers left that were killed.

        Raises:
            UserError: it cannot be written.
        """
        pid = os.getpid()
        running = Running(
            pid=pid,
            started=processes.started(pid) or 0,
            http=address.http,
            grpc=address.grpc,
            metrics=address.metrics,
            key=key,
            public_key=None if public_key is None else str(public_key.resolve()),
        )
        record = cls(folder / f"{_PREFIX}{pid}.json")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for other in _records(folder):
                if other.read() is None:
                    other.remove()
            record.remove()
            descriptor = os.open(record.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise UserError(f"cannot write {record.path}: {error.strerror}") from None
        _write(descriptor, running)
        os.close(descriptor)
        return record

    def read(self) -> Running | None:
        """Return what it says; None when its launcher has ended, or half of it was written."""
        with contextlib.suppress(OSError, ValueError, TypeError):
            running = Running(**json.loads(self.path.read_text(encoding="utf-8")))
            if processes.started(running.pid) == running.started:
                return running
        return None

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def changing(self) -> Iterator[Running]:
        """Hold it alone, so that one change ends before the next begins.

        Raises:
            UserError: the server has ended.
        """
        with self._locked(fcntl.LOCK_EX) as descriptor:
            running = self.read()
            if running is None:
                raise UserError("the server has ended")
            _write(descriptor, dataclasses.replace(running, changes=running.changes + 1))
            yield running

    @contextlib.contextmanager
    def quiet(self, *, alone: bool = False) -> Iterator[int | None]:
        """Keep changes away if none is under way; yields how many there were, or None while one is under way."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:  # somebody removed it, and nobody can find this server any more
            yield 0
            return
        changes: int | None = None
        try:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(descriptor, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
                running = self.read()
                changes = 0 if running is None else running.changes
            yield changes
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def _locked(self, kind: int) -> Iterator[int]:
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_NOFOLLOW)
        except FileNotFoundError:
            raise UserError("the server has ended") from None
        try:
            try:
                fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                with console.status("waiting for another change of this server, or its restart"):
                    fcntl.flock(descriptor, kind)
            yield descriptor
        finally:
            os.close(descriptor)


def find(folder: Path, address: str | None) -> Record:
    """Return the server to change: the one at a gRPC address, or the only one.

    Raises:
        UserError: there is none, or there are several and none was named.
    """
    found = {running.grpc: record for record in _records(folder) if (running := record.read())}
    if not found:
        raise UserError("no server of this project runs here: start one with `luxe serve`")
    there = ", ".join(sorted(found))
    if address is not None:
        if address not in found:
            raise UserError(f"{address} is no server of this project; those that run: {there}")
        return found[address]
    if len(found) > 1:
        raise UserError(f"several servers of this project run: choose one with --address: {there}")
    return next(iter(found.values()))


def _records(folder: Path) -> list[Record]:
    return [Record(path) for path in sorted(folder.glob(f"{_PREFIX}*.json"))]


def _write(descriptor: int, running: Running) -> None:
    content = json.dumps(dataclasses.asdict(running), indent=2).encode() + b"\n"
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, content, 0)
