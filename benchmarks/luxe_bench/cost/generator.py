"""The load generator, in a process of its own: `python -m luxe_bench.cost.generator JOB.json`.

It warms the server up, says ``ready``, and begins when it is told to. What it used of the cores is part of the result.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import json
import math
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from luxe_bench.cost.senders import Grpc, Http, Sender
from luxe_bench.cost.worker import say

__all__ = ["Job", "main"]

_REPORT_S = 0.5


@dataclasses.dataclass(frozen=True)
class Job:
    """What to send where."""

    protocol: str
    """``grpc`` or ``http``"""
    address: str
    model: str
    """Of gRPC; the path of HTTP."""
    texts: list[str]
    """The first ``warm_up`` are not measured."""
    warm_up: int
    callers: int
    """Requests in flight, each sent when another was answered; during a schedule those of the warm-up only."""
    due_s: list[float] | None
    """When each text is due, in seconds from the start, whether or not others were answered; None in a closed loop."""
    seconds: float
    """A closed loop sends nothing after this."""
    timeout_s: float
    result: str
    """File for the arrays."""


class _Run:
    """One load: who sends, and what became of each text."""

    def __init__(self, job: Job, sender: Sender) -> None:
        self._job, self._sender = job, sender
        count = len(job.texts)
        self.sent_s, self.done_s = np.full(count, np.nan), np.full(count, np.nan)
        self.status, self.bodies = [""] * count, [b""] * count
        self.answered = 0
        self._start = 0.0

    async def closed(self, first: int, last: int, seconds: float) -> None:
        """Keep as many requests in flight as there are callers."""
        self._start = time.perf_counter()
        left = iter(range(first, last))
        await asyncio.gather(*(self._caller(left, seconds) for _ in range(min(self._job.callers, last - first))))

    async def open(self, first: int, due_s: list[float]) -> None:
        """Send each text when it is due."""
        self._start = time.perf_counter()
        under_way = []
        for i, due in enumerate(due_s, start=first):
            await asyncio.sleep(max(0.0, due - self._now()))
            under_way.append(asyncio.create_task(self._one(i)))
        await asyncio.gather(*under_way)

    async def _caller(self, left: Iterator[int], seconds: float) -> None:
        for i in left:
            await self._one(i)
            if self._now() > seconds:
                return

    async def _one(self, i: int) -> None:
        self.sent_s[i] = self._now()
        self.status[i], self.bodies[i] = await self._sender.send(i)
        self.done_s[i] = self._now()
        self.answered += 1

    def _now(self) -> float:
        return time.perf_counter() - self._start


async def _report(run: _Run) -> None:
    while True:
        await asyncio.sleep(_REPORT_S)
        say({"answered": run.answered})


async def _go(job: Job) -> None:
    sender: Sender = (
        Grpc(job.address, job.model, job.texts, job.timeout_s)
        if job.protocol == "grpc"
        else Http(job.address, job.model, job.texts)
    )
    run = _Run(job, sender)
    await run.closed(0, job.warm_up, math.inf)
    gc.collect()
    gc.freeze()  # what was made before the run is not looked through during it
    say({"ready": True})
    if not await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline):
        return  # whoever asked for it has gone
    run.answered = 0
    reporting = asyncio.create_task(_report(run))
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    if job.due_s is None:
        await run.closed(job.warm_up, len(job.texts), job.seconds)
    else:
        await run.open(job.warm_up, job.due_s)
    taken = {"cpu_s": time.process_time() - cpu_s, "wall_s": time.perf_counter() - wall_s}
    reporting.cancel()
    say({"done": taken})
    await sender.close()
    _write(job, run, sender)
    say({"written": True})


def _write(job: Job, run: _Run, sender: Sender) -> None:
    scores: list[list[float] | None] = [
        sender.scores(i, run.bodies[i]) if run.status[i] == "OK" else None for i in range(len(job.texts))
    ]
    width = max((len(one) for one in scores if one), default=0)
    table: NDArray[np.float32] = np.full((len(scores), width), np.nan, np.float32)
    for i, one in enumerate(scores):
        if one and len(one) == width:
            table[i] = one
    own = slice(job.warm_up, None)
    np.savez(
        job.result, sent_s=run.sent_s[own], done_s=run.done_s[own], status=np.array(run.status)[own], scores=table[own]
    )


def main() -> None:
    """Do the job of the file."""
    with contextlib.suppress(PermissionError):
        os.nice(-10)  # it shares the cores with what it measures, and an instrument must not be late
    asyncio.run(_go(Job(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))))


if __name__ == "__main__":
    main()
