"""One request on its way: what was asked, the rows that are still out, and one reply, whatever happens."""

from __future__ import annotations

import dataclasses
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from luxe_serving.text.encoded import Encoded
from luxe_serving.text.questions import Question
from luxe_serving.text.tasks import Answer, Task

__all__ = ["Pending", "Reason", "Refused", "Reply", "Request", "Waiting"]

Reply = Callable[[Answer | Exception], None]
Reason = Literal["overloaded", "expired", "cancelled"]


class Refused(Exception):
    """A request was not answered, to protect the others; nothing was wrong with it."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason


@dataclasses.dataclass(frozen=True)
class Request:
    """What a caller sent."""

    arrays: Mapping[str, NDArray[Any]]
    """Inputs by name, as `luxe_serving.text.tensors.inputs` lists them."""
    reply: Reply
    """Called exactly once, from any thread, with an answer or an error."""
    timeout_s: float = math.inf
    """From now on; an answer after it helps nobody."""
    bulk: bool = False
    """Not interactive: others may overtake it."""
    cancelled: Callable[[], bool] = lambda: False
    """Says whether the caller has left. Asking costs a message between processes."""
    id: str = ""
    """The caller's own."""
    traceparent: str = ""
    """W3C Trace Context of the caller."""


class Pending:
    """Collects the outputs of a request's rows and replies once. Safe for threads."""

    def __init__(
        self,
        task: Task,
        question: Question,
        rows: Sequence[Encoded],
        request: Request,
        *,
        arrived_s: float,
        tokenize_s: float = 0.0,
    ) -> None:
        self.request = request
        self.arrived_s = arrived_s
        self.rows = rows
        self.over = False
        self._task = task
        self._question = question
        self._tokenize_s = tokenize_s
        self._timings = np.zeros((len(rows), 3), np.float32)  # what was known took no time
        self._left = sum(row.output is None for row in rows)
        self._lock = threading.Lock()
        if not self._left:
            self.over = True
            self._answer()

    @property
    def deadline_s(self) -> float:
        return self.arrived_s + self.request.timeout_s

    def missing(self) -> list[Waiting]:
        """Return the rows that the engine has not answered."""
        return [Waiting(row, self, number) for number, row in enumerate(self.rows) if row.output is None]

    def done(self, number: int, output: NDArray[np.float32], *, began_s: float, engine_s: float) -> None:
        """Take the engine's output of a row; the last one makes the answer.

        Args:
            number: of the row.
            output: as of `Task.answer`.
            began_s: when its micro-batch did; of the same clock as when the request arrived.
            engine_s: what the micro-batch took.
        """
        queue_s = max(0.0, began_s - self.arrived_s - self._tokenize_s)
        with self._lock:
            self.rows[number].output = output
            self._timings[number] = queue_s, self._tokenize_s, engine_s
            self._left -= 1
            if self.over or self._left != 0:
                return
            self.over = True
        self._answer()

    def failed(self, error: Exception) -> None:
        """Reply with an error, once; rows that are still out count no more."""
        with self._lock:
            if self.over:
                return
            self.over = True
        self.request.reply(error)

    def _answer(self) -> None:
        try:
            of_texts = self._timings.reshape(-1, self._question.rows_per_text, 3).max(axis=1)
            answer: Answer | Exception = {**self._task.answer(self._question, self.rows), "timings": of_texts}
        except Exception as error:  # a caller waits, whatever went wrong
            answer = error
        self.request.reply(answer)


class Waiting(NamedTuple):
    """A row on its way to the engine."""

    row: Encoded
    pending: Pending
    number: int
    """Of the row in its request."""
