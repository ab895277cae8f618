"""The callers, in a process of its own as a service would be: `python -m luxe_bench.chaos.caller JOB.json`.

It says ``ready``, is told when to start and, later, when to stop, and writes what became of every call that was due.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import dataclasses
import json
import math
import os
import queue
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from luxe_bench.chaos.calls import OK, Call
from luxe_bench.cost import reference
from luxe_bench.cost.worker import say
from luxe_client import AsyncClient, CallRecord, Classification, Client

__all__ = ["Job", "main"]

_MORE_THREADS = 32
_STEP_S = 0.05
"""How often it looks whether it has been told to stop."""
_CALL: contextvars.ContextVar[Call | None] = contextvars.ContextVar("call", default=None)
"""The call that a record of the client's belongs to."""


@dataclasses.dataclass(frozen=True)
class Job:
    """What to send where."""

    addresses: list[str]
    model: str
    texts: list[str]
    """Sent in turn."""
    scores: list[list[float]]
    """The known answer of each."""
    due_s: list[float]
    """When each call is due, in seconds from the start, whatever became of those before."""
    timeout_s: float
    asyncio: bool
    """Use `AsyncClient`."""
    result: str
    """File for the calls."""


class _Run:
    """One load: when each call is due, and what became of it."""

    def __init__(self, job: Job, messages: queue.SimpleQueue[str]) -> None:
        self.job = job
        self.calls = [Call(due_s) for due_s in job.due_s]
        self.stop_s = math.inf
        self._scores = np.array(job.scores, np.float32)
        self._messages = messages
        self._began = 0.0

    def begin(self) -> None:
        """Say that all is ready, and wait to be told when to start: a time of the machine's monotonic clock."""
        say({"ready": True})
        self._began = json.loads(self._messages.get())["start"]

    def now(self) -> float:
        return time.monotonic() - self._began

    def wait_s(self, call: Call) -> float:
        """Return how long to sleep until a call is due or the run is over; 0 when that is so."""
        with contextlib.suppress(queue.Empty):
            self.stop_s = json.loads(self._messages.get_nowait())["stop"]
        return min(_STEP_S, max(0.0, min(call.due_s, self.stop_s) - self.now()))

    @contextlib.contextmanager
    def sending(self, call: Call) -> Iterator[None]:
        """Note when a call begins and ends, and how it fails."""
        _CALL.set(call)
        call.sent_s = self.now()
        try:
            yield
        except Exception as error:  # whatever it is, a caller did not get an answer
            call.outcome, call.message = type(error).__name__, str(error)
        call.done_s = self.now()

    def text(self, number: int) -> str:
        return self.job.texts[number % len(self.job.texts)]

    def answered(self, call: Call, number: int, answer: Classification) -> None:
        call.outcome, call.version = OK, answer.version
        scores = np.array([list(answer.scores.values())], np.float32)
        expected = self._scores[[number % len(self._scores)]]
        call.wrong = scores.shape != expected.shape or bool(reference.wrong(scores, expected)[0])

    def write(self) -> None:
        due = [dataclasses.asdict(call) for call in self.calls if call.due_s < self.stop_s]
        Path(self.job.result).write_text(json.dumps(due), encoding="utf-8")


def _record(record: CallRecord) -> None:
    call = _CALL.get()
    if call is not None:
        call.tries, call.replica = record.tries, record.replica


def _threads(run: _Run) -> None:
    """Call with a `Client`, each call on a thread of its own."""
    job = run.job
    # As many as can wait when nothing is answered until the deadline.
    most = int(job.timeout_s * len(job.due_s) / max(1.0, job.due_s[-1])) + _MORE_THREADS

    def one(number: int) -> None:
        call = run.calls[number]
        with run.sending(call):
            run.answered(call, number, client.classify(job.model, run.text(number)))

    with Client(job.addresses, timeout_s=job.timeout_s, on_call=_record) as client:
        client.classify(job.model, run.text(0))
        run.begin()
        with ThreadPoolExecutor(most) as pool:
            for number, call in enumerate(run.calls):
                while (wait_s := run.wait_s(call)) > 0:
                    time.sleep(wait_s)
                if call.due_s >= run.stop_s:
                    break
                pool.submit(one, number)


async def _tasks(run: _Run) -> None:
    """Call with an `AsyncClient`, each call as a task."""
    job = run.job

    async def one(number: int) -> None:
        call = run.calls[number]
        with run.sending(call):
            run.answered(call, number, await client.classify(job.model, run.text(number)))

    async with AsyncClient(job.addresses, timeout_s=job.timeout_s, on_call=_record) as client:
        await client.classify(job.model, run.text(0))
        run.begin()
        under_way = []
        for number, call in enumerate(run.calls):
            while (wait_s := run.wait_s(call)) > 0:
                await asyncio.sleep(wait_s)
            if call.due_s >= run.stop_s:
                break
            under_way.append(asyncio.create_task(one(number)))
        await asyncio.gather(*under_way)


def _listen(messages: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        messages.put(line)
    messages.put('{"stop": 0}')  # whoever asked for it has gone


def main() -> None:
    """Do the job of the file."""
    with contextlib.suppress(PermissionError):
        os.nice(-10)  # it shares the cores with servers that start, as a service on another machine would not
    messages: queue.SimpleQueue[str] = queue.SimpleQueue()
    run = _Run(Job(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))), messages)
    threading.Thread(target=_listen, args=(messages,), daemon=True).start()
    if run.job.asyncio:
        asyncio.run(_tasks(run))
    else:
        _threads(run)
    run.write()
    say({"done": True})


if __name__ == "__main__":
    main()
