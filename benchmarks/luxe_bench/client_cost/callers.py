"""The callers' processes, seen from the bench: one for each way of calling."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from luxe_bench.cost.worker import Worker

__all__ = ["Callers", "Went"]

_START_S, _GO_S = 30.0, 300.0


@dataclasses.dataclass(frozen=True)
class Went:
    """What became of some texts."""

    labels: list[str]
    cpu_s: float
    """User and system time of the caller's process."""
    wall_s: float


class Callers:
    """Processes that call one server, until the end of the ``with`` block.

    Args:
        ways: names of `luxe_bench.client_cost.ways.WAYS`.
        address: of the server.
        model: that is asked.
        scratch: for what they say when they fail.
    """

    def __init__(self, ways: Sequence[str], address: str, model: str, scratch: Path) -> None:
        self._workers = {
            way: Worker("luxe_bench.client_cost.caller", [way, address, model], scratch / f"{way}.log") for way in ways
        }
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Callers:
        with contextlib.ExitStack() as stack:
            for worker in self._workers.values():
                stack.enter_context(worker)
            for worker in self._workers.values():
                worker.receive(timeout_s=_START_S)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def go(self, way: str, texts: Sequence[str], *, callers: int, batch: int = 1) -> Went:
        """Have texts classified; the rest of the processes idle.

        Raises:
            UserError: a call failed; says how.
        """
        self._workers[way].send({"texts": list(texts), "callers": callers, "batch": batch})
        return Went(**self._workers[way].receive(timeout_s=_GO_S))
