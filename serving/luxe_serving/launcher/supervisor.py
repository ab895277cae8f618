"""Keeps a server running: restarts it when it is sick, later and later, and gives up when that does not help."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Protocol

from rich.markup import escape

from luxe.console import console
from luxe.errors import CommandError, UserError
from luxe_serving.launcher.loading import Sleep
from luxe_serving.launcher.server import Server

__all__ = ["LIMIT", "Supervisor", "delay_s"]

POLL_S = 0.2
HEALTHY_S = 60.0
"""After as long without a sign of sickness, what was before counts no more."""
LIMIT = 5
"""Restarts without such a time between them."""
_LONGEST_S = 30.0


class Watching(Protocol):
    """As `luxe_serving.launcher.watch.Watch`."""

    served: Mapping[str, int | None]

    def sick(self) -> str | None: ...


class Supervisor:
    """Runs until a signal comes or it gives up.

    Args:
        start: starts a server with these versions of these models and returns it when it answers, or raises UserError
            and leaves nothing.
        watch: begins to watch a server.
        sleep: waits; raises when a signal came.
        clock: seconds.
    """

    def __init__(
        self,
        start: Callable[[Mapping[str, int | None]], Server],
        watch: Callable[[Server], Watching],
        *,
        sleep: Sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._start, self._watch, self._sleep, self._clock = start, watch, sleep, clock
        self._restarts = 0
        self._first_s = 0.0
        self._log_start = 0

    def run(self, server: Server) -> None:
        """Watch a server that answers, and those that come after it; the last one is stopped in order.

        Raises:
            KeyboardInterrupt: from ``sleep``.
            CommandError: it gave up.
        """
        running: Server | None = server
        try:
            while running is not None:
                served = self._until_sick(running)
                sick, running = running, None
                sick.abandon()
                running = self._restart(sick, served)
        finally:
            if running is not None:
                running.stop()

    def _until_sick(self, server: Server) -> Mapping[str, int | None]:
        watch, since = self._watch(server), self._clock()
        while True:
            if (reason := watch.sick()) is not None:
                if self._clock() - since >= HEALTHY_S:
                    self._restarts = 0
                if self._restarts == 0:
                    self._first_s, self._log_start = self._clock(), server.log.start
                console.print(f"[red]sick[/] {escape(reason)}; restarting", soft_wrap=True)
                return watch.served
            self._sleep(POLL_S)

    def _restart(self, sick: Server, served: Mapping[str, int | None]) -> Server:
        began = self._clock()
        while self._restarts < LIMIT:
            self._sleep(delay_s(self._restarts))
            self._restarts += 1
            try:
                server = self._start(served)
            except UserError as error:
                console.print(f"[red]restart {self._restarts} failed[/] {escape(str(error))}", soft_wrap=True)
                continue
            console.print(f"[green]ready again[/] {', '.join(served) or 'nothing'} after {self._clock() - began:.1f} s")
            return server
        seconds = self._clock() - self._first_s
        raise CommandError(
            f"gave up after {LIMIT} restarts in {seconds:.0f} s, never healthy for {HEALTHY_S:.0f} s; first error: "
            f"{sick.log.first_error(self._log_start)}; see {sick.log.path}"
        )


def delay_s(restarts: int) -> float:
    """Return how long to wait before the next restart when there were so many: 0, 1, 2, 4 … 30."""
    return 0.0 if restarts == 0 else min(_LONGEST_S, 2.0 ** (restarts - 1))
