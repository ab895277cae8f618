"""The load of a run, seen from the bench: a process of its own that is started, stopped, and asked what happened."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from luxe_bench.chaos.caller import Job
from luxe_bench.chaos.calls import Call
from luxe_bench.chaos.known import Known
from luxe_bench.cost.schedule import poisson
from luxe_bench.cost.worker import Worker

__all__ = ["Load"]

_READY_S = 120.0
_AHEAD_S = 0.5
_GRACE_S = 60.0


class Load:
    """Calls on a schedule, from `start` to `stop`, in a ``with`` block.

    Args:
        addresses: of all servers.
        known: texts and their answers.
        rate: calls a second, Poisson arrivals.
        most_s: no call is due after as many seconds.
        timeout_s: deadline of each call.
        asyncio: use `AsyncClient`.
        scratch: for what is exchanged.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        model: str,
        known: Known,
        *,
        rate: float,
        most_s: float,
        timeout_s: float,
        asyncio: bool,
        scratch: Path,
    ) -> None:
        texts, scores = known
        self._result, self._timeout_s = scratch / "calls.json", timeout_s
        job = Job(
            addresses=list(addresses),
            model=model,
            texts=texts,
            scores=scores.tolist(),
            due_s=poisson(rate, most_s).tolist(),
            timeout_s=timeout_s,
            asyncio=asyncio,
            result=str(self._result),
        )
        path = scratch / "job.json"
        path.write_text(json.dumps(dataclasses.asdict(job)), encoding="utf-8")
        self._worker = Worker("luxe_bench.chaos.caller", [str(path)], scratch / "caller.log")

    def __enter__(self) -> Load:
        self._worker.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._worker.__exit__(kind, error, trace)

    def start(self) -> float:
        """Start, in a moment; returns that time of the machine's monotonic clock."""
        self._worker.receive(timeout_s=_READY_S)
        began = time.monotonic() + _AHEAD_S
        self._worker.send({"start": began})
        return began

    def stop(self, at_s: float) -> list[Call]:
        """Wait for the end of every call that was due before ``at_s`` seconds, and return them."""
        self._worker.send({"stop": at_s})
        self._worker.receive(timeout_s=self._timeout_s + _GRACE_S)
        return [Call(**call) for call in json.loads(self._result.read_text(encoding="utf-8"))]
