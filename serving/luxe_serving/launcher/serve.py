"""`luxe serve`: a server in the foreground, restarted when it is sick, until a signal ends it."""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from luxe import access, signing
from luxe.console import console, fail
from luxe.errors import UserError
from luxe.repository import versions
from luxe.verify import LOADED, verify
from luxe_serving.launcher import probe
from luxe_serving.launcher.arguments import Address
from luxe_serving.launcher.record import Record
from luxe_serving.launcher.server import Server, wanted
from luxe_serving.launcher.signals import Signals
from luxe_serving.launcher.supervisor import Supervisor
from luxe_serving.launcher.watch import Watch

__all__ = ["Options", "check", "serve"]

_ACCESS_LOG = {"LUXE_ACCESS_LOG": "1"}


@dataclasses.dataclass(frozen=True)
class Options:
    """What a server is started with, besides where."""

    models: tuple[str, ...] = ()
    """Names; all that is published when empty."""
    key: Path | None = None
    """A public key; every version that is loaded must be signed with it."""
    otlp: str | None = None
    """URL of an OpenTelemetry collector."""
    access_log: bool = False
    """One line a request in the server's log."""


def serve(repository: Path, address: Address, log: Path, options: Options = Options()) -> None:
    """Serve a repository until SIGINT or SIGTERM; accepted requests finish.

    What the server will load is verified first, and nobody publishes until it is loaded. That holds for restarts too.

    Args:
        repository: the model repository.
        address: where to listen.
        log: file for the server's own log; beside it lies the record for `luxe load` and `luxe unload`.
        options: what else.

    Raises:
        UserError: the server cannot be started, or the repository is not as it was published.
        CommandError: it was restarted again and again, and that did not help.
    """
    if options.otlp is not None and not options.otlp.startswith(("http://", "https://")):
        raise UserError(f"--otlp {options.otlp}: not a URL such as http://127.0.0.1:4318/v1/traces")
    starting = _Starting(repository, address, log, options, Signals())
    try:
        server = starting.first()
        try:
            record = Record.create(log.parent, address, key=starting.key, public_key=options.key)
        except BaseException:
            server.stop()
            raise
        try:
            console.print(f"[green]ready[/] {', '.join(server.models)}", soft_wrap=True)
            print(f"grpc     {address.grpc}", f"http     http://{address.http}", sep="\n")
            print(f"metrics  http://{address.metrics}/metrics", flush=True)
            starting.supervisor(record).run(server)
        finally:
            record.remove()
    except KeyboardInterrupt:
        console.print("stopped")


class _Starting:
    """Starts the first server, and those after it."""

    def __init__(self, repository: Path, address: Address, log: Path, options: Options, signals: Signals) -> None:
        self.key = secrets.token_hex(16)
        self._repository, self._address, self._log = repository, address, log
        self._options, self._signals = options, signals

    def first(self) -> Server:
        names = wanted(self._repository, self._options.models or None)
        with self._verified(list(names) if self._options.models else None):
            return self._ready(names)

    def supervisor(self, record: Record) -> Supervisor:
        def start(served: Mapping[str, int | None]) -> Server:
            there = probe.models(self._repository)
            names = {model: version for model, version in served.items() if model in there}
            # Whoever wants to load waits until the restart is over.
            with record.quiet(alone=True), self._verified(list(names)):
                return self._ready(_pinned(self._repository, names))

        return Supervisor(start, lambda server: Watch(server, record), sleep=self._signals.sleep)

    @contextlib.contextmanager
    def _verified(self, names: Sequence[str] | None) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            with self._signals.anywhere():
                stack.enter_context(access.reading(self._repository))
                check(self._repository, self._options.key, names)
            yield

    def _ready(self, models: Mapping[str, int | None]) -> Server:
        """Return a server that answers, or leave nothing."""
        server = Server(
            self._repository,
            self._address,
            self._log,
            models=models,
            key=self.key,
            otlp=self._options.otlp,
            environment=_ACCESS_LOG if self._options.access_log else {},
            sleep=self._signals.sleep,
        )
        try:
            server.load()
            server.wait_ready()
        except UserError:
            server.abandon()
            raise
        except BaseException:
            server.stop()
            raise
        return server


def check(repository: Path, key: Path | None = None, models: Sequence[str] | None = None) -> None:
    """Refuse a repository where what a server loads is not what was published; the caller holds it.

    Args:
        repository: the model repository.
        key: a public key; every version must be signed with it.
        models: look at these only.

    Raises:
        UserError: one finding, or how many there are; each is printed on a line of its own.
    """
    public = None if key is None else signing.public_key(key)
    with console.status("verifying the repository"):
        looked = [
            verify(repository, key=public, model=m, newest=LOADED) for m in ([None] if models is None else models)
        ]
        findings = sorted({finding for report in looked for finding in report.findings})
    if not findings:
        return
    if len(findings) == 1:
        raise UserError(f"{findings[0].line}; nothing is served")
    for finding in findings:
        fail(finding.line)
    raise UserError(f"{repository} is not as it was published: {len(findings)} findings; nothing is served")


def _pinned(repository: Path, served: Mapping[str, int | None]) -> dict[str, int | None]:
    """Return what a restart loads: what was served, and no version that was published since, unless the old is gone."""
    pinned: dict[str, int | None] = {}
    for model, version in served.items():
        there = versions(repository / model)
        pinned[model] = version if version in there[:-1] else None
    return pinned
