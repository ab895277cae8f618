"""Micro-batches by length: pure scheduling, without Triton and without a clock.

Triton batches what arrives together; texts that arrive together differ in length, and on a CPU every padded
token costs what a real one costs. So the oldest text goes first and takes along those neighbours in length
that keep the padding under a bound. Oldest first means that no length starves.
"""

from __future__ import annotations

import bisect
import threading
from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

__all__ = ["MicroBatcher", "select"]

T = TypeVar("T")


def select(lengths: Sequence[int], *, max_batch: int, max_padding_share: float) -> list[int]:
    """Choose which of the waiting texts run together with the oldest one.

    Args:
        lengths: tokens of each waiting text, the oldest first; not empty.
        max_batch: most texts of a batch.
        max_padding_share: bound on padded tokens over all tokens of the padded batch, 0 to 1.

    Returns:
        Indices into ``lengths``, ascending; 0 is always among them.
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    seed = lengths[0]
    at = bisect.bisect_left([lengths[i] for i in order], seed)
    while order[at] != 0:  # equal lengths: find the oldest itself
        at += 1
    below, above = at - 1, at + 1
    chosen, total, longest = [0], seed, seed
    while len(chosen) < max_batch and (below >= 0 or above < len(order)):
        shorter = lengths[order[below]] if below >= 0 else None
        longer = lengths[order[above]] if above < len(order) else None
        if longer is None or (shorter is not None and seed - shorter <= longer - seed):
            candidate, below = order[below], below - 1
        else:
            candidate, above = order[above], above + 1
        new_longest = max(longest, lengths[candidate])
        new_total = total + lengths[candidate]
        padded = new_longest * (len(chosen) + 1)
        if padded - new_total > max_padding_share * padded:
            # This side only gets worse from here; the other one may still fit.
            if lengths[candidate] < seed:
                below = -1
            else:
                above = len(order)
            continue
        chosen.append(candidate)
        total, longest = new_total, new_longest
    return sorted(chosen)


class MicroBatcher(Generic[T]):
    """A bounded queue whose `take` returns texts of like length. Safe for threads.

    Args:
        max_batch: most texts that `take` returns.
        max_padding_share: see `select`.
        capacity: texts that may wait before `put` blocks.
    """

    def __init__(self, *, max_batch: int, max_padding_share: float, capacity: int) -> None:
        self._max_batch = max_batch
        self._max_padding_share = max_padding_share
        self._capacity = capacity
        self._waiting: list[tuple[int, T]] = []
        self._changed = threading.Condition()
        self._closed = False

    def put(self, items: Iterable[tuple[int, T]]) -> None:
        """Add ``(length, payload)`` pairs; blocks while the queue is full, so that the caller's queue fills.

        Items added together stay together: a full queue blocks before the first, never between two.

        Raises:
            RuntimeError: the queue was closed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._waiting) < self._capacity)
            if self._closed:
                raise RuntimeError("the scheduler is closed")
            self._waiting.extend(items)
            self._changed.notify_all()

    def take(self) -> list[T] | None:
        """Return the next micro-batch; blocks while nothing waits; None once closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting)
            if not self._waiting:
                return None
            chosen = select(
                [length for length, _ in self._waiting],
                max_batch=self._max_batch,
                max_padding_share=self._max_padding_share,
            )
            batch = [self._waiting[i][1] for i in chosen]
            for i in reversed(chosen):
                del self._waiting[i]
            self._changed.notify_all()
            return batch

    def close(self) -> None:
        """Refuse new items; what waits is still given out."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
