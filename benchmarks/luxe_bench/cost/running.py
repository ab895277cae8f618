"""One load under way: a generator's process, and what the server used meanwhile."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from luxe.errors import UserError
from luxe_bench import processes
from luxe_bench.cost.servers import Target
from luxe_bench.cost.statistics import Load
from luxe_bench.cost.worker import Worker

__all__ = ["Running"]

_GRACE_S = 120.0
"""Longer than a warm-up, and than a request may take on the wire."""


class Running:
    """A generator: the ``with`` block warms the server up; then `go`, `wait` and `load` in this order.

    Args:
        target: the server.
        job: file of a `luxe_bench.cost.generator.Job`.
        log: for what the generator says when it fails.
        texts: those that are measured.
        due_s: when each of them is due; None in a closed loop.
        result: where the generator writes its arrays.
        seconds: how long a closed loop may go on.
    """

    def __init__(
        self,
        target: Target,
        job: Path,
        log: Path,
        texts: Sequence[str],
        due_s: NDArray[np.float64] | None,
        result: Path,
        seconds: float,
    ) -> None:
        self.texts = texts
        self._target, self._job, self._log = target, job, log
        self._due_s, self._result = due_s, result
        self._seconds = seconds if due_s is None else float(due_s[-1])
        self._stack = contextlib.ExitStack()
        self._cpu_s = self._generator_cpu_s = self._wall_s = 0.0

    def __enter__(self) -> Running:
        with contextlib.ExitStack() as stack:
            arguments = [str(self._job)]
            self._worker = stack.enter_context(Worker("luxe_bench.cost.generator", arguments, self._log))
            self._worker.receive(timeout_s=_GRACE_S)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._worker.receive(timeout_s=_GRACE_S)  # its arrays are written
        self._stack.close()

    def go(self) -> None:
        """Begin what is measured."""
        self._cpu_s = processes.tree(self._target.pid)[0]
        self._worker.send({"go": True})

    def wait(self, answered: Callable[[int], object] | None = None) -> None:
        """Wait until everything is answered; ``answered`` is called with their number twice a second.

        Raises:
            UserError: it takes far too long.
        """
        for _ in range(int(2 * (self._seconds + _GRACE_S))):
            message = self._worker.receive(timeout_s=_GRACE_S)
            if "done" in message:
                self._cpu_s = processes.tree(self._target.pid)[0] - self._cpu_s
                self._generator_cpu_s, self._wall_s = message["done"]["cpu_s"], message["done"]["wall_s"]
                return
            if answered:
                answered(message["answered"])
        raise UserError(f"a load of {self._seconds:.0f} s does not end")

    def load(self) -> tuple[Load, NDArray[np.float32]]:
        """Return what happened, and the scores [N, L] of the answers; after the ``with`` block."""
        with np.load(self._result) as arrays:
            sent_s, done_s, scores = arrays["sent_s"], arrays["done_s"], arrays["scores"]
            status = [str(one) for one in arrays["status"]]
        due_s = sent_s if self._due_s is None else self._due_s
        return Load(due_s, sent_s, done_s, status, self._wall_s, self._cpu_s, self._generator_cpu_s), scores
