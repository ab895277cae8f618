"""Texts in, answers out. Runs inside Triton, but knows nothing of it.

    submit(arrays, reply) ─► rows ─► tokenise ─► MicroBatcher ─► worker threads ─► engine ─► reply(answer)

A row is what the engine answers at once: a text, or a pair of them. One worker per engine instance keeps every
instance busy; a request is answered as soon as the last of its own rows is done, whatever else arrived with it.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from luxe_serving import questions, tasks
from luxe_serving.questions import InvalidText, Question
from luxe_serving.scheduler import MicroBatcher
from luxe_serving.settings import Settings
from luxe_serving.tasks import Answer, Task

__all__ = ["Engine", "TextModel"]

_LOG = logging.getLogger(__name__)
Engine = Callable[[dict[str, NDArray[np.int64]]], NDArray[np.float32]]
"""Token tensors [N, T] by input name → [N, classes], or for some tasks [N, T, classes]. Called from several threads."""
Reply = Callable[[Answer | Exception], None]


class _Pending:
    """One request: collects the outputs of its rows and replies once."""

    def __init__(self, task: Task, question: Question, encodings: Sequence[Encoding], reply: Reply) -> None:
        self._task = task
        self._question = question
        self._encodings = encodings
        self._outputs: list[NDArray[np.float32] | None] = [None] * len(encodings)
        self._left = len(encodings)
        self._reply = _safe(reply)
        self._lock = threading.Lock()

    def done(self, row: int, output: NDArray[np.float32]) -> None:
        with self._lock:
            self._outputs[row] = output
            self._left -= 1
            if self._left != 0:
                return
        try:
            outputs = [o for o in self._outputs if o is not None]
            answer: Answer | Exception = self._task.answer(self._question, outputs, self._encodings)
        except Exception as error:  # a caller waits, whatever went wrong
            answer = error
        self._reply(answer)

    def failed(self, error: Exception) -> None:
        with self._lock:
            if self._left <= 0:
                return
            self._left = -1
        self._reply(error)


@dataclasses.dataclass(frozen=True)
class _Row:
    encoding: Encoding
    number: int
    pending: _Pending


class TextModel:
    """A tokenizer, a scheduler and worker threads in front of an engine.

    Args:
        folder: holds ``luxe.json`` and ``tokenizer.json``.
        engine: computes logits or embeddings.
    """

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.settings = Settings.read(folder / "luxe.json")
        self._engine = engine
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._task = tasks.of(self.settings, self._tokenizer)
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self.settings.max_length, strategy=self._task.truncation)
        self._batcher: MicroBatcher[_Row] = MicroBatcher(
            max_batch=self.settings.max_micro_batch,
            max_padding_share=self.settings.max_padding_share,
            # Enough choice of neighbours in length; what is beyond waits in Triton's queue, which can refuse.
            capacity=4 * self.settings.max_batch_size,
        )
        self._workers = [
            threading.Thread(target=self._work, name=f"micro-batches-{i}", daemon=True)
            for i in range(self.settings.engine_instances)
        ]
        for worker in self._workers:
            worker.start()

    def submit(self, requests: Sequence[tuple[Mapping[str, NDArray[Any]], Reply]]) -> None:
        """Take requests, each its input arrays by name, as `luxe_serving.tensors.inputs` lists them.

        Each reply is called exactly once, from any thread, with an answer or an error. Blocks while too much waits.
        A request with an `InvalidText` is refused alone.
        """
        accepted: list[tuple[Question, Reply]] = []
        for arrays, reply in requests:
            try:
                accepted.append((self._task.read(arrays), reply))
            except InvalidText as error:
                _safe(reply)(error)
        for group in _groups(accepted, most=questions.max_rows(self.settings)):
            for question, encodings, reply in self._encode(group):
                pending = _Pending(self._task, question, encodings, reply)
                self._batcher.put([(len(e.ids), _Row(e, i, pending)) for i, e in enumerate(encodings)])

    def close(self) -> None:
        """Answer what was taken, then stop."""
        self._batcher.close()
        for worker in self._workers:
            worker.join()

    def _encode(self, group: Sequence[tuple[Question, Reply]]) -> list[tuple[Question, list[Encoding], Reply]]:
        """Tokenise requests; those that cannot be tokenised are refused, and are not in the result."""
        try:
            # One call for all: it releases the GIL, so that the workers go on.
            encodings = self._tokenizer.encode_batch([row for question, _ in group for row in question.rows])
        except Exception as error:  # the library has no class of its own for it
            if len(group) > 1:  # find out whose fault it is
                return [encoded for one in group for encoded in self._encode([one])]
            ((question, reply),) = group
            _safe(reply)(self._why_not(question, error))
            return []
        result, start = [], 0
        for question, reply in group:
            result.append((question, encodings[start : start + len(question.rows)], reply))
            start += len(question.rows)
        return result

    def _why_not(self, question: Question, error: Exception) -> Exception:
        for number, row in enumerate(question.rows):
            try:
                self._tokenizer.encode_batch([row])
            except Exception as of_row:
                # With only_first, a second part that leaves no room for the first.
                long = "too short" in str(of_row)
                reason = f"leaves no room within {self.settings.max_length} tokens" if long else str(of_row)
                return InvalidText(f"{question.name(number)} cannot be tokenised: {reason}")
        return error

    def _work(self) -> None:
        while (batch := self._batcher.take()) is not None:
            try:
                outputs = self._run(batch)
            except Exception as error:  # whatever the engine raised is the answer to these rows
                for row in batch:
                    row.pending.failed(error)
                continue
            for row, output in zip(batch, outputs, strict=True):
                row.pending.done(row.number, output)

    def _run(self, batch: Sequence[_Row]) -> list[NDArray[np.float32]]:
        """Return the engine's output of each row, without what belongs to padding."""
        tensors = self._pad(batch)
        output = np.asarray(self._engine(tensors))
        places = next(iter(tensors.values())).shape if self._task.per_token else (len(batch),)
        if output.shape != (*places, self.settings.engine_width):
            raise RuntimeError(f"the engine gave no usable {self.settings.engine_output}: shape {output.shape}")
        if self._task.per_token:
            rows = [of_row[: len(row.encoding.ids)] for row, of_row in zip(batch, output, strict=True)]
        else:
            rows = list(output)
        if not all(np.isfinite(of_row).all() for of_row in rows):
            raise RuntimeError(f"the engine gave no usable {self.settings.engine_output}: not all are finite numbers")
        return rows

    def _pad(self, batch: Sequence[_Row]) -> dict[str, NDArray[np.int64]]:
        """Return the engine's inputs, each [N, T] with T the longest row of the batch."""
        shape = (len(batch), max(len(row.encoding.ids) for row in batch))
        tensors: dict[str, NDArray[np.int64]] = {
            "input_ids": np.full(shape, self.settings.padding_id, dtype=np.int64),
            "attention_mask": np.zeros(shape, dtype=np.int64),
            "token_type_ids": np.zeros(shape, dtype=np.int64),
        }
        for i, row in enumerate(batch):
            length = len(row.encoding.ids)
            tensors["input_ids"][i, :length] = row.encoding.ids
            tensors["attention_mask"][i, :length] = 1
            tensors["token_type_ids"][i, :length] = row.encoding.type_ids
        return {name: tensors[name] for name in self.settings.engine_inputs}


def _groups(requests: Sequence[tuple[Question, Reply]], *, most: int) -> Iterator[list[tuple[Question, Reply]]]:
    """Split requests so that few hold their tokens in memory at once; a batch of single texts is never split."""
    group: list[tuple[Question, Reply]] = []
    rows = 0
    for question, reply in requests:
        if group and rows + len(question.rows) > most:
            yield group
            group, rows = [], 0
        group.append((question, reply))
        rows += len(question.rows)
    if group:
        yield group


def _safe(reply: Reply) -> Reply:
    def safe(answer: Answer | Exception) -> None:
        try:
            reply(answer)
        except Exception:
            _LOG.exception("a caller could not be replied to")

    return safe
