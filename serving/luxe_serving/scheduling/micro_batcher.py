"""The scheduler for threads: those that bring texts, and one for each engine instance that takes batches."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from luxe_serving.scheduling.cost import CostModel
from luxe_serving.scheduling.scheduler import Batch, Scheduler, Text

__all__ = ["MicroBatcher"]

T = TypeVar("T")


class MicroBatcher(Generic[T]):
    """A bounded queue that gives out micro-batches. Safe for threads.

    Args:
        scheduler: decides; belongs to this queue from now on.
        capacity: texts that may wait before `put` blocks.
        clock: of the texts' times, in seconds.
    """

    def __init__(self, scheduler: Scheduler[T], *, capacity: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._scheduler = scheduler
        self._capacity = capacity
        self._clock = clock
        self._changed = threading.Condition()
        self._closed = False

    def put(self, texts: Sequence[Text[T]]) -> None:
        """Add texts; blocks while the queue is full, so that the caller's queue fills.

        Texts added together stay together: a full queue blocks before the first, never between two.

        Raises:
            RuntimeError: the queue was closed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._scheduler) < self._capacity)
            if self._closed:
                raise RuntimeError("the scheduler is closed")
            self._scheduler.put(texts)
            self._changed.notify_all()

    def take(self) -> Batch[T] | None:
        """Return the next batch; blocks while nothing waits; None once closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._scheduler))
            if not len(self._scheduler):
                return None
            batch = self._scheduler.take(self._clock())
            self._changed.notify_all()
            return batch

    def linger(self, enough: int, longest_s: float) -> None:
        """Return when fewer than ``enough`` texts wait, or it was closed, or after ``longest_s`` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._scheduler) < enough, longest_s)

    def idle(self) -> bool:
        """Return whether nothing waits."""
        with self._changed:
            return not len(self._scheduler)

    def wait_s(self, *, bulk: bool = False, ahead: int = 0) -> float:
        """See `Scheduler.wait_s`."""
        with self._changed:
            return self._scheduler.wait_s(self._clock(), bulk=bulk, ahead=ahead)

    def done(self, batch: Batch[T], seconds: float) -> None:
        """See `Scheduler.done`."""
        with self._changed:
            self._scheduler.done(batch, seconds)

    def use(self, cost: CostModel) -> None:
        """See `Scheduler.use`."""
        with self._changed:
            self._scheduler.use(cost)

    def drop(self, unwanted: Callable[[T], bool]) -> None:
        """Forget the texts whose payload is unwanted."""
        with self._changed:
            self._scheduler.drop(unwanted)
            self._changed.notify_all()

    def close(self) -> None:
        """Refuse new texts; what waits is still given out."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
