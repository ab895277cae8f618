"""`luxe serve`: a server in the foreground, until a signal ends it."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

from luxe.console import console
from luxe.errors import CommandError
from luxe_serving.arguments import Address
from luxe_serving.server import running

__all__ = ["serve"]


def serve(repository: Path, address: Address, log: Path) -> None:
    """Serve a repository until SIGINT or SIGTERM; accepted requests finish.

    Raises:
        UserError: the server cannot be started.
        CommandError: it ended by itself.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        with running(repository, address, log) as server:
            console.print(f"[green]ready[/] {', '.join(server.models)}")
            print(f"grpc     {address.grpc}", f"http     http://{address.http}", sep="\n")
            print(f"metrics  http://{address.metrics}/metrics", flush=True)
            status = server.wait()
        raise CommandError(f"Triton ended by itself with status {status}; see {log}")
    except KeyboardInterrupt:
        console.print("stopped")


def _interrupt(number: int, frame: Any) -> None:
    # Once is enough: a second signal must not interrupt the orderly stop.
    for other in (signal.SIGINT, signal.SIGTERM):
        signal.signal(other, signal.SIG_IGN)
    raise KeyboardInterrupt
