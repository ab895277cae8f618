"""The engine alone, seen from the bench: what it costs, and whether a server's answers are the right ones."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luxe.console import progress
from luxe_bench.cost.worker import Worker

__all__ = ["SIZES", "TOLERANCE", "Reference", "wrong"]

SIZES = (1, 2, 4, 8, 16, 32)
TOLERANCE = 0.02
"""Largest difference of a score to the engine's own: batches of other shapes round otherwise in int8."""
_AT_ONCE = 2000
_TIMEOUT_S = 120.0
_CHECK_SIZE = 8


def wrong(scores: NDArray[np.float32], expected: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which of the answers [N, L] belong to another text; an answer without numbers does."""
    within: NDArray[np.bool_] = np.all(np.abs(scores - expected) <= TOLERANCE, axis=1)
    return ~within


class Reference:
    """The engine in a process of its own, until the end of the ``with`` block.

    Args:
        text: version's folder of the text model.
        engine: version's folder of the engine.
        scratch: for what is exchanged.
    """

    def __init__(self, text: Path, engine: Path, scratch: Path) -> None:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # as served
        self._texts, self._scores = scratch / "engine-texts.json", scratch / "engine-scores.npy"
        self._worker = Worker("luxe_bench.cost.engine", [str(text), str(engine)], scratch / "engine.log")
        self._known: dict[str, NDArray[np.float32]] = {}

    def __enter__(self) -> Reference:
        self._worker.receive(timeout_s=_TIMEOUT_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._worker.__exit__(kind, error, trace)

    def batches(self, texts: Sequence[str], size: int) -> dict[str, Any]:
        """Return ``cpu_s`` and ``wall_s`` of all texts in batches of ``size`` and like length."""
        answer = self._ask("batches", texts, size=size)
        self._remember(texts)
        return answer

    def alone(self, texts: Sequence[str]) -> dict[str, Any]:
        """Return ``with_tokens_ms`` and ``engine_ms`` of each text, one at a time."""
        answer = self._ask("alone", texts)
        self._remember(texts)
        return answer

    def tokens(self, texts: Sequence[str]) -> list[int]:
        """Return the length of each text in tokens."""
        lengths: list[int] = self._ask("tokens", texts)["tokens"]
        return lengths

    def best_size(self, texts: Sequence[str]) -> tuple[int, dict[int, float]]:
        """Return the size of batches that costs least, and the CPU seconds of each size, the better of two runs."""
        cpu_s = {size: min(self.batches(texts, size)["cpu_s"] for _ in range(2)) for size in SIZES}
        return min(cpu_s, key=cpu_s.__getitem__), cpu_s

    def scores(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the engine's own scores [N, L] of texts."""
        missing = [text for text in dict.fromkeys(texts) if text not in self._known]
        with progress() as bar:
            task = bar.add_task("checking the answers", total=len(missing))
            for start in range(0, len(missing), _AT_ONCE):
                some = missing[start : start + _AT_ONCE]
                self.batches(some, _CHECK_SIZE)
                bar.advance(task, len(some))
        return np.array([self._known[text] for text in texts])

    def _ask(self, what: str, texts: Sequence[str], **more: Any) -> dict[str, Any]:
        self._texts.write_text(json.dumps(list(texts)), encoding="utf-8")
        self._worker.send({"do": what, "texts": str(self._texts), "scores": str(self._scores), **more})
        answer: dict[str, Any] = self._worker.receive(timeout_s=_TIMEOUT_S)
        return answer

    def _remember(self, texts: Sequence[str]) -> None:
        self._known.update(zip(texts, np.load(self._scores), strict=True))
