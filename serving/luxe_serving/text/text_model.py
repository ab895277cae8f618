"""Texts in, answers out. Runs inside Triton, but knows nothing of it.

    submit(requests) ─► rows ─► tokenise ─► MicroBatcher ─► worker threads ─► engine ─► reply(answer)

A row is what the engine answers at once: a text, or a pair of them. One worker per engine instance keeps every
instance busy; a request is answered as soon as the last of its own rows is done, whatever else arrived with it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from luxe_serving import cores
from luxe_serving.monitoring.metrics import Metrics
from luxe_serving.scheduling.cost import CostModel
from luxe_serving.scheduling.micro_batcher import MicroBatcher
from luxe_serving.scheduling.scheduler import Batch, Scheduler, Text
from luxe_serving.text import questions, tasks
from luxe_serving.text.encoded import Encoded, Encoder
from luxe_serving.text.observed import Observer
from luxe_serving.text.padded import Engine, PaddedEngine
from luxe_serving.text.pending import Pending, Refused, Request, Waiting
from luxe_serving.text.questions import InvalidText, Question
from luxe_serving.text.reading import Read, groups
from luxe_serving.text.replies import Replies
from luxe_serving.text.row_cache import RowCache
from luxe_serving.text.settings import Settings
from luxe_serving.text.warm_up import warm_up

__all__ = ["TextModel"]

_LOG = logging.getLogger(__name__)

_ROWS_WAITING = 64
"""Times max_batch_size: rows that may wait before `submit` blocks and Triton's queue fills. Bounds memory, not time."""
_WAIT_SHARE = 0.3
"""Of a request's timeout that it may wait; a queue as long as the timeout would make every answer just too late."""
_LINGER_S = 0.01
"""Where the workers have enough to choose from, `submit` returns as much later: less CPU time, at no cost in latency,
since what comes meanwhile would wait anyway (docs/scheduling.md)."""
_LEFT_S = 0.5
"""A caller is asked whether he has left only after he has waited as long: asking costs as much as refusing."""


class TextModel:
    """A tokenizer, a scheduler and worker threads in front of an engine.

    Args:
        folder: holds ``luxe.json`` and ``tokenizer.json``.
        engine: computes logits or embeddings.
        metrics: gets what is counted.
        warm: run every shape on the engine, and learn what it costs, before the first request is answered.
    """

    def __init__(self, folder: Path, engine: Engine, *, metrics: Metrics | None = None, warm: bool = True) -> None:
        self.settings = Settings.read(folder / "luxe.json")
        self.metrics = metrics or Metrics()
        self._observer = Observer(self.metrics, f"{folder.parent.name}/{folder.name}")
        self._instances = self.settings.engine_instances or cores.instances(self.settings.intra_op_threads)
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._task = tasks.of(self.settings, tokenizer)
        self._encoder = Encoder(
            self.settings, tokenizer, truncation=self._task.truncation, per_token=self._task.per_token
        )
        self._cache = RowCache(self.settings.cache_bytes)
        self._engine = PaddedEngine(self.settings, engine, per_token=self._task.per_token)
        scheduler: Scheduler[Waiting] = Scheduler(
            cost=CostModel(),
            instances=self._instances,
            max_batch=self.settings.max_micro_batch,
            max_padding_share=self.settings.max_padding_share,
            patience_s=self.settings.bulk_patience_ms / 1000,
        )
        self._batcher = MicroBatcher(scheduler, capacity=_ROWS_WAITING * self.settings.max_batch_size)
        self._replies = Replies()
        self._warm = threading.Event()
        self._workers = [
            threading.Thread(target=self._work, name=f"micro-batches-{i}", daemon=True) for i in range(self._instances)
        ]
        # Started by the first request: a backend that calls another model while it is initialised may end Triton.
        self._warming = threading.Thread(target=self._begin, args=(warm,), name="warm-up", daemon=True)
        self._first = threading.Lock()  # taken by the first request, for ever
        for worker in self._workers:
            worker.start()

    def submit(self, requests: Sequence[Request]) -> None:
        """Take requests; each is replied to once. Blocks while too much waits.

        A request with an `InvalidText` is refused alone, and so is one that could not be answered in time.
        """
        if self._first.acquire(blocking=False):
            self._warming.start()
        arrived_s = time.monotonic()
        accepted: list[Read] = []
        for given in requests:
            request = self._observer.watch(given, arrived_s)
            try:
                question = self._task.read(request.arrays)
                known = self._known(question)
                if None in known:
                    self._admit(request, arrived_s)
                accepted.append(Read(request, question, known))
            except (InvalidText, Refused) as error:
                request.reply(error)
        for group in groups(accepted, most=questions.max_rows(self.settings)):
            self._complete(group)
            for read in group:
                self._wait(read, arrived_s)
        # Triton brings what came meanwhile in one call, and each call costs messages between processes.
        self._batcher.linger(self.settings.max_micro_batch, _LINGER_S)

    def close(self) -> None:
        """Answer what was taken, then stop."""
        self._batcher.close()
        self._warm.set()
        for worker in self._workers:
            worker.join()
        self._replies.close()

    def refusal(self, timeout_s: float, *, ahead: int = 0) -> Refused | None:
        """Return why a request that came now would be refused whatever it asks; it is counted as refused.

        Under overload most are, and reading one costs as much as refusing it.

        Args:
            timeout_s: of the request.
            ahead: requests that will be submitted before it and cannot be overtaken.
        """
        error = self._too_late(self._batcher.wait_s(ahead=ahead), timeout_s)
        if error is not None:
            self.metrics.count("luxe_refusals_total", reason=error.reason)
        return error

    def _admit(self, request: Request, arrived_s: float) -> None:
        """Refuse at once what would be answered too late, while it costs nothing yet.

        Raises:
            Refused: too much waits.
        """
        error = self._too_late(
            self._batcher.wait_s(bulk=request.bulk) + time.monotonic() - arrived_s, request.timeout_s
        )
        if error is not None:
            raise error

    def _too_late(self, wait_s: float, timeout_s: float) -> Refused | None:
        limit_s = min(timeout_s * _WAIT_SHARE, self.settings.max_wait_ms / 1000)
        if wait_s <= limit_s:
            return None
        return Refused(
            "overloaded",
            f"a text would wait {wait_s * 1000:.0f} ms for an engine, and {limit_s * 1000:.0f} ms are the most: try "
            "another replica, or later",
        )

    def _known(self, question: Question) -> list[Encoded | None]:
        """Return the rows that were answered before, None in the place of others."""
        known = [self._cache.get(row) for row in question.rows]
        missing = known.count(None)
        if self.settings.cache_bytes:
            self.metrics.count("luxe_cache_misses_total", missing)
            self.metrics.count("luxe_cache_hits_total", len(known) - missing)
        return known

    def _complete(self, group: Sequence[Read]) -> None:
        """Tokenise what is not known; requests that cannot be tokenised get an error."""
        began = time.monotonic()
        missing = [(read, [i for i, row in enumerate(read.rows) if row is None]) for read in group]
        missing = [(read, numbers) for read, numbers in missing if numbers]
        if not missing:
            return
        encoded = self._encoder.encode([(read.question, numbers) for read, numbers in missing])
        for (read, _), rows in zip(missing, encoded, strict=True):
            if isinstance(rows, Exception):
                read.error = rows
            else:
                for number, row in rows.items():
                    read.rows[number] = row
        seconds = time.monotonic() - began
        self.metrics.observe("luxe_tokenize_seconds", seconds)
        for read, _ in missing:
            read.tokenize_s = seconds

    def _wait(self, read: Read, arrived_s: float) -> None:
        """Queue what the engine has to answer."""
        request = read.request
        if read.error is not None:
            request.reply(read.error)
            return
        rows = [row for row in read.rows if row is not None]
        if any(row.output is None for row in rows):
            try:
                self._admit(request, arrived_s)  # again: those before it in the group count
            except Refused as error:
                request.reply(error)
                return
        pending = Pending(self._task, read.question, rows, request, arrived_s=arrived_s, tokenize_s=read.tokenize_s)
        if waiting := pending.missing():
            texts = [Text(w, len(w.row.ids), arrived_s, pending.deadline_s, request.bulk) for w in waiting]
            try:
                self._batcher.put(texts)
            except RuntimeError as error:  # closed meanwhile
                pending.failed(error)

    def _begin(self, warm: bool) -> None:
        try:
            if warm:
                s = self.settings
                shape = {"max_length": s.max_length, "max_batch": s.max_micro_batch}
                cost = warm_up(self._engine, **shape, instances=self._instances, stopped=self._warm.is_set)
                if cost is not None:
                    _LOG.info("a micro-batch costs %s", cost)
                    self._batcher.use(cost)
        finally:
            self._warm.set()

    def _work(self) -> None:
        self._warm.wait()
        while (batch := self._batcher.take()) is not None:
            for text in batch.late:
                self._give_up(text.payload.pending, Refused("expired", "its timeout would pass before the answer"))
            for pending in {text.payload.pending for text in batch.texts if _may_have_left(text)}:
                if _has_left(pending.request):
                    self._give_up(pending, Refused("cancelled", "the caller has left"))
            if alive := [text for text in batch.texts if not text.payload.pending.over]:
                self._run(Batch(tuple(alive)))

    def _run(self, batch: Batch[Waiting]) -> None:
        waiting = [text.payload for text in batch.texts]
        began = time.monotonic()
        for text in batch.texts:
            self.metrics.observe("luxe_queue_seconds", began - text.arrived_s)
        try:
            outputs = self._engine.run([w.row for w in waiting])
        except Exception as error:  # whatever the engine raised is the answer to these rows
            for w in waiting:
                self._give_up(w.pending, error)
            return
        seconds = time.monotonic() - began
        self._batcher.done(batch, seconds)
        self.metrics.observe("luxe_engine_seconds", seconds)
        self.metrics.observe("luxe_micro_batch_size", len(waiting))
        self.metrics.count("luxe_tokens_total", batch.tokens, kind="text")
        self.metrics.count("luxe_tokens_total", batch.padding, kind="padding")
        if self._batcher.idle():  # nothing that the engine could do meanwhile
            self._answer(waiting, outputs, began, seconds)
        else:
            self._replies.hand_over(lambda: self._answer(waiting, outputs, began, seconds))

    def _answer(
        self, waiting: Sequence[Waiting], outputs: Sequence[NDArray[np.float32]], began_s: float, engine_s: float
    ) -> None:
        for w, output in zip(waiting, outputs, strict=True):
            self._cache.put(w.row, output)
            w.pending.done(w.number, output, began_s=began_s, engine_s=engine_s)

    def _give_up(self, pending: Pending, error: Exception) -> None:
        pending.failed(error)
        if len(pending.rows) > 1:
            self._batcher.drop(lambda waiting: waiting.pending is pending)


def _may_have_left(text: Text[Waiting]) -> bool:
    return not text.payload.pending.over and time.monotonic() - text.arrived_s > _LEFT_S


def _has_left(request: Request) -> bool:
    try:
        return request.cancelled()
    except Exception:  # who cannot be asked is answered
        _LOG.exception("a caller could not be asked whether he has left")
        return False
