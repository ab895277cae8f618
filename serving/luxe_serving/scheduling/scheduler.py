"""Which texts run together, in which order, and how long a new one would wait: pure, without threads or a clock.

Texts that arrive together differ in length, and a padded token costs what a real one costs. So the most urgent text
goes first and takes along those neighbours in length that make the batch worth most: the work that is the texts' own
over the seconds that the batch takes, by the engine's cost model. Urgent is who came first; bulk work counts as if it
had come `patience_s` later, so interactive texts overtake it, and nobody waits for ever.
"""

from __future__ import annotations

import bisect
import dataclasses
import heapq
import math
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from luxe_serving.scheduling.cost import CostModel

__all__ = ["Batch", "Scheduler", "Text"]

T = TypeVar("T")

_LEARNING = 0.1
"""Weight of the newest run in how fast this machine is; ten runs make most of it."""

_OUTLIER = 10.0
"""Times the pace so far; what took longer counts as this."""


@dataclasses.dataclass(frozen=True)
class Text(Generic[T]):
    """A text that waits."""

    payload: T
    length: int
    """Tokens."""
    arrived_s: float = 0.0
    deadline_s: float = math.inf
    """An answer after this helps nobody. Both are of the same clock."""
    bulk: bool = False
    """Not interactive: may be overtaken."""


@dataclasses.dataclass(frozen=True)
class Batch(Generic[T]):
    """What `Scheduler.take` chose."""

    texts: tuple[Text[T], ...]
    """To run together; empty when nothing waits."""
    late: tuple[Text[T], ...] = ()
    """Could not be answered before their deadline: to be refused, not run."""

    @property
    def length(self) -> int:
        """Tokens of the longest, which the others are padded to."""
        return max(text.length for text in self.texts)

    @property
    def tokens(self) -> int:
        """Tokens of the texts themselves."""
        return sum(text.length for text in self.texts)

    @property
    def padding(self) -> int:
        """Tokens that the padding adds."""
        return self.length * len(self.texts) - self.tokens


class Scheduler(Generic[T]):
    """Texts that wait. Not safe for threads: see `luxe_serving.scheduling.micro_batcher`.

    Args:
        cost: of the engine.
        instances: engine instances that run at once.
        max_batch: most texts of a batch.
        max_padding_share: most padded tokens over all tokens of a batch, 0 to 1.
        patience_s: how much later bulk texts count as arrived.
    """

    def __init__(
        self, *, cost: CostModel, instances: int, max_batch: int, max_padding_share: float, patience_s: float
    ) -> None:
        self._cost = cost
        self._instances = instances
        self._max_batch = max_batch
        self._max_padding_share = max_padding_share
        self._patience_s = patience_s
        self._pace = 1.0  # real seconds over the cost model's
        self._number = 0
        self._by_length: list[tuple[int, float, int]] = []  # (length, as if arrived, number), sorted
        self._waiting: dict[int, Text[T]] = {}  # by number
        self._urgent: list[tuple[float, int]] = []  # heap of (as if arrived, number); those that were taken linger
        self._work_s = 0.0  # of all that waits, by the cost model
        self._patient_s = 0.0  # of the bulk texts among them that may still be overtaken
        self._patient: dict[int, Text[T]] = {}  # these, in the order of their arrival

    def use(self, cost: CostModel) -> None:
        """Decide by another cost model from now on."""
        waiting = list(self._waiting.values())
        self.drop(lambda _: True)
        self._cost, self._pace = cost, 1.0
        self.put(waiting)

    def __len__(self) -> int:
        """Return how many texts wait."""
        return len(self._waiting)

    def put(self, texts: Iterable[Text[T]]) -> None:
        """Add texts."""
        for text in texts:
            number = self._number = self._number + 1
            self._waiting[number] = text
            bisect.insort(self._by_length, self._place(number))
            heapq.heappush(self._urgent, self._place(number)[1:])
            self._work_s += self._work(text)
            if text.bulk:
                self._patient[number] = text
                self._patient_s += self._work(text)

    def wait_s(self, now_s: float = 0.0, *, bulk: bool = False, ahead: int = 0) -> float:
        """Return how long a text that came now would wait for an engine, as things are.

        Full batches are assumed, which is what a queue that is worth asking about makes. What runs already is not
        counted: less than one batch for each instance.

        Args:
            now_s: of the texts' clock.
            bulk: of the text.
            ahead: texts that will be put before it; each counts as the mean of those that wait.
        """
        while self._patient:
            number, text = next(iter(self._patient.items()))
            if text.arrived_s + self._patience_s > now_s:
                break
            del self._patient[number]
            self._patient_s -= self._work(text)
        if not self._patient:  # so that roundings do not add up
            self._patient_s = 0.0
        work_s = self._work_s if bulk else self._work_s - self._patient_s
        if ahead and self._waiting:
            work_s += ahead * self._work_s / len(self._waiting)
        return self._pace * max(work_s, 0.0) / self._instances

    def take(self, now_s: float = 0.0) -> Batch[T]:
        """Choose and remove the next batch.

        The most urgent text is always in it, so that a text is taken at the latest when all that are more urgent are.
        """
        late: list[Text[T]] = []
        while (seed := self._most_urgent()) is not None:
            if self._in_time(self._waiting[seed], now_s):
                break
            late.append(self._remove(seed))
        if seed is None:
            if late:  # perhaps the prediction is wrong, and only a run can tell: do not refuse for ever
                self._pace *= 1 - _LEARNING
            return Batch((), tuple(late))
        while True:
            chosen = self._neighbours(seed)
            overdue = [number for number in chosen if not self._in_time(self._waiting[number], now_s)]
            if not overdue:
                return Batch(tuple(map(self._remove, chosen)), tuple(late))
            late += map(self._remove, overdue)

    def done(self, batch: Batch[T], seconds: float) -> None:
        """Learn what a batch took."""
        predicted = self._cost.seconds(len(batch.texts), batch.length)
        if predicted > 0:  # texts without a token
            # A process that was stopped for a while says nothing about the next run.
            ratio = min(seconds / predicted, _OUTLIER * self._pace)
            self._pace += _LEARNING * (ratio - self._pace)

    def drop(self, unwanted: Callable[[T], bool]) -> list[Text[T]]:
        """Remove and return the texts whose payload is unwanted."""
        numbers = [number for number, text in self._waiting.items() if unwanted(text.payload)]
        return [self._remove(number) for number in numbers]

    def _in_time(self, text: Text[T], now_s: float) -> bool:
        return now_s + self._pace * self._cost.seconds(1, text.length) <= text.deadline_s

    def _most_urgent(self) -> int | None:
        while self._urgent:
            number = self._urgent[0][1]
            if number in self._waiting:
                return number
            heapq.heappop(self._urgent)
        return None

    def _neighbours(self, seed: int) -> list[int]:
        """Return the run of neighbours in length around the seed that is worth most, the seed among them."""
        waiting, most = self._by_length, self._max_batch
        at = bisect.bisect_left(waiting, self._place(seed))
        best, best_worth = (at, at + 1), -1.0
        tokens_left, work_left = 0, 0.0  # of the texts from `low` to before the seed
        for low in range(at, max(at - most, -1), -1):
            if low < at:
                tokens_left += waiting[low][0]
                work_left += self._cost.alone(waiting[low][0])
            tokens, work = tokens_left, work_left
            for high in range(at, min(low + most, len(waiting))):
                length, size = waiting[high][0], high - low + 1
                alone = self._cost.alone(length)
                tokens, work = tokens + length, work + alone
                padded = length * size
                if padded - tokens > self._max_padding_share * padded:
                    continue
                worth = work / (self._cost.per_run + alone * size or 1.0)
                # Of equals, roundings aside, the larger: it leaves less behind.
                same = math.isclose(worth, best_worth)
                if (size > best[1] - best[0]) if same else (worth > best_worth):
                    best, best_worth = (low, high + 1), worth
        return [number for *_, number in waiting[best[0] : best[1]]]

    def _place(self, number: int) -> tuple[int, float, int]:
        """Return where a text stands: by length, and among equals by how urgent it is."""
        text = self._waiting[number]
        return text.length, text.arrived_s + self._patience_s * text.bulk, number

    def _remove(self, number: int) -> Text[T]:
        del self._by_length[bisect.bisect_left(self._by_length, self._place(number))]
        text = self._waiting.pop(number)
        self._work_s = self._work_s - self._work(text) if self._waiting else 0.0
        if self._patient.pop(number, None):
            self._patient_s -= self._work(text)
        return text

    def _work(self, text: Text[T]) -> float:
        """Return a text's own seconds and its share of a full batch's overhead."""
        return self._cost.alone(text.length) + self._cost.per_run / self._max_batch
