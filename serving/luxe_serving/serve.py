"""`luxe serve`: a server in the foreground, until a signal ends it."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path
from typing import Any

from luxe import access, signing
from luxe.console import console, fail
from luxe.errors import CommandError, UserError
from luxe.verify import LOADED, verify
from luxe_serving.arguments import Address
from luxe_serving.server import running

__all__ = ["check", "serve"]


def serve(repository: Path, address: Address, log: Path, *, key: Path | None = None) -> None:
    """Serve a repository until SIGINT or SIGTERM; accepted requests finish.

    What the server will load is verified first, and nobody publishes until it is loaded.

    Args:
        repository: the model repository.
        address: where to listen.
        log: file for the server's own log.
        key: a public key; every version that is loaded must be signed with it.

    Raises:
        UserError: the server cannot be started, or the repository is not as it was published.
        CommandError: it ended by itself.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        with contextlib.ExitStack() as until_ready, contextlib.ExitStack() as stack:
            if repository.is_dir():  # else the server says what to do
                until_ready.enter_context(access.reading(repository))
                check(repository, key)
            server = stack.enter_context(running(repository, address, log))
            until_ready.close()
            console.print(f"[green]ready[/] {', '.join(server.models)}")
            print(f"grpc     {address.grpc}", f"http     http://{address.http}", sep="\n")
            print(f"metrics  http://{address.metrics}/metrics", flush=True)
            status = server.wait()
        raise CommandError(f"Triton ended by itself with status {status}; see {log}")
    except KeyboardInterrupt:
        console.print("stopped")


def check(repository: Path, key: Path | None = None) -> None:
    """Refuse a repository where what a server loads is not what was published; the caller holds it.

    Raises:
        UserError: one finding, or how many there are; each is printed on a line of its own.
    """
    public = None if key is None else signing.public_key(key)
    with console.status("verifying the repository"):
        findings = verify(repository, key=public, newest=LOADED).findings
    if not findings:
        return
    if len(findings) == 1:
        raise UserError(f"{findings[0].line}; nothing is served")
    for finding in findings:
        fail(finding.line)
    raise UserError(f"{repository} is not as it was published: {len(findings)} findings; nothing is served")


def _interrupt(number: int, frame: Any) -> None:
    # Once is enough: a second signal must not interrupt the orderly stop.
    for other in (signal.SIGINT, signal.SIGTERM):
        signal.signal(other, signal.SIG_IGN)
    raise KeyboardInterrupt
