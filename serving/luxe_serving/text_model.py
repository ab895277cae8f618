"""A text classifier: texts in, probabilities out. Runs inside Triton, but knows nothing of it.

    submit(texts, reply) ─► tokenise ─► MicroBatcher ─► worker threads ─► engine ─► reply(answer)

One worker per engine instance keeps every instance busy; a request is answered as soon as the last of its
own texts is done, whatever else arrived with it.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from luxe_serving.scheduler import MicroBatcher

__all__ = ["Answer", "InvalidText", "Settings", "TextModel"]

_LOG = logging.getLogger(__name__)
Engine = Callable[[dict[str, NDArray[np.int64]]], NDArray[np.float32]]
"""Token tensors [N, T] by input name → logits [N, L]. Called from several threads."""


class InvalidText(ValueError):
    """A text cannot be classified; the whole request is refused."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """``luxe.json`` of a version: what the export settled, and the server only obeys."""

    engine: str
    """Name of the engine's repository entry; the same version of it is called."""
    engine_inputs: tuple[str, ...]
    labels: tuple[str, ...]
    max_length: int
    padding_id: int
    review_threshold: float
    max_batch_size: int
    max_micro_batch: int
    max_padding_share: float
    max_text_bytes: int
    engine_instances: int

    @classmethod
    def read(cls, path: Path) -> Settings:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        lists = {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
        return cls(**{**values, **lists})

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False) + "\n"


@dataclasses.dataclass(frozen=True)
class Answer:
    """For N texts and L labels."""

    scores: NDArray[np.float32]
    """[N, L], rows sum to 1."""
    needs_review: NDArray[np.bool_]
    """[N, 1]"""
    truncated: NDArray[np.bool_]
    """[N, 1]"""


class _Pending:
    """One request: collects the rows of its texts and replies once."""

    def __init__(self, count: int, reply: Callable[[Answer | Exception], None]) -> None:
        self.truncated = np.zeros((count, 1), dtype=bool)
        self._rows: list[NDArray[np.float32] | None] = [None] * count
        self._left = count
        self._reply = _safe(reply)
        self._lock = threading.Lock()

    def done(self, row: int, scores: NDArray[np.float32], threshold: float) -> None:
        with self._lock:
            self._rows[row] = scores
            self._left -= 1
            if self._left != 0:
                return
        stacked = np.stack([r for r in self._rows if r is not None])
        review = stacked.max(axis=1, keepdims=True) < threshold
        self._reply(Answer(stacked, review, self.truncated))

    def failed(self, error: Exception) -> None:
        with self._lock:
            if self._left <= 0:
                return
            self._left = -1
        self._reply(error)


@dataclasses.dataclass(frozen=True)
class _Text:
    encoding: Encoding
    row: int
    pending: _Pending


class TextModel:
    """A tokenizer, a scheduler and worker threads in front of an engine.

    Args:
        folder: holds ``luxe.json`` and ``tokenizer.json``.
        engine: computes logits.
    """

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.settings = Settings.read(folder / "luxe.json")
        self._engine = engine
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self.settings.max_length)
        self._batcher: MicroBatcher[_Text] = MicroBatcher(
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

    def submit(self, requests: Sequence[tuple[Sequence[bytes], Callable[[Answer | Exception], None]]]) -> None:
        """Take requests; each reply is called exactly once, from any thread, with an answer or an error.

        Blocks while too much waits. A request with an `InvalidText` is refused alone.
        """
        accepted: list[tuple[list[str], _Pending]] = []
        for texts, reply in requests:
            try:
                accepted.append((self._check(texts), _Pending(len(texts), reply)))
            except InvalidText as error:
                _safe(reply)(error)
        if not accepted:
            return
        # One call for all: it releases the GIL, so that the workers go on.
        encodings = iter(self._tokenizer.encode_batch([text for checked, _ in accepted for text in checked]))
        for checked, pending in accepted:
            items = []
            for row in range(len(checked)):
                encoding = next(encodings)
                pending.truncated[row, 0] = bool(encoding.overflowing)
                items.append((len(encoding.ids), _Text(encoding, row, pending)))
            self._batcher.put(items)

    def close(self) -> None:
        """Answer what was taken, then stop."""
        self._batcher.close()
        for worker in self._workers:
            worker.join()

    def _check(self, texts: Sequence[bytes]) -> list[str]:
        if not texts:
            raise InvalidText("the request has no texts")
        checked = []
        for position, raw in enumerate(texts):
            if len(raw) > self.settings.max_text_bytes:
                raise InvalidText(
                    f"text {position} has {len(raw)} bytes; this model takes at most {self.settings.max_text_bytes}"
                )
            try:
                text = raw.decode()
            except UnicodeDecodeError as error:
                raise InvalidText(f"text {position} is not UTF-8 (byte {error.start})") from None
            if not text.strip():
                raise InvalidText(f"text {position} is empty")
            checked.append(text)
        return checked

    def _work(self) -> None:
        while (batch := self._batcher.take()) is not None:
            try:
                scores = _softmax(self._engine(self._pad(batch)))
                if scores.shape != (len(batch), len(self.settings.labels)) or not np.isfinite(scores).all():
                    raise RuntimeError(f"the engine gave no usable logits: shape {scores.shape}")
            except Exception as error:  # whatever the engine raised is the answer to these texts
                for text in batch:
                    text.pending.failed(error)
                continue
            for text, row in zip(batch, scores, strict=True):
                text.pending.done(text.row, row, self.settings.review_threshold)

    def _pad(self, batch: Sequence[_Text]) -> dict[str, NDArray[np.int64]]:
        """Return the engine's inputs, each [N, T] with T the longest text of the batch."""
        longest = max(len(text.encoding.ids) for text in batch)
        shape = (len(batch), longest)
        tensors: dict[str, NDArray[np.int64]] = {
            "input_ids": np.full(shape, self.settings.padding_id, dtype=np.int64),
            "attention_mask": np.zeros(shape, dtype=np.int64),
            "token_type_ids": np.zeros(shape, dtype=np.int64),
        }
        for i, text in enumerate(batch):
            length = len(text.encoding.ids)
            tensors["input_ids"][i, :length] = text.encoding.ids
            tensors["attention_mask"][i, :length] = 1
            tensors["token_type_ids"][i, :length] = text.encoding.type_ids
        return {name: tensors[name] for name in self.settings.engine_inputs}


def _safe(reply: Callable[[Answer | Exception], None]) -> Callable[[Answer | Exception], None]:
    def safe(answer: Answer | Exception) -> None:
        try:
            reply(answer)
        except Exception:
            _LOG.exception("a caller could not be replied to")

    return safe


def _softmax(logits: NDArray[Any]) -> NDArray[np.float32]:
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: NDArray[np.float32] = (shifted / shifted.sum(axis=-1, keepdims=True)).astype(np.float32)
    return result
