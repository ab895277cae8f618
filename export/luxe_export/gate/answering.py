"""An ONNX file answers the test set: alone, batched with others, padded to the maximum.

Batches run side by side on all cores granted, but at most 8, each on one thread as on the server. How many there are
changes the time alone: no sum inside a batch is ever split differently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luxe_export.gate.reference import Reference, workers
from luxe_serving.onnx_engine import session
from luxe_serving.text import answers

__all__ = ["Candidate", "batches", "inputs", "row_inputs"]


class Candidate:
    """A session on an ONNX file; a context manager.

    Args:
        at_once: batches that run side by side.
        gpu: number of the GPU that answers; None means the CPU.
    """

    def __init__(self, path: Path, reference: Reference, *, at_once: int | None = None, gpu: int | None = None) -> None:
        self._engine = session(path, gpu=gpu)
        self._names = [value.name for value in self._engine.get_inputs()]
        self._reference = reference
        self._workers = ThreadPoolExecutor(at_once or workers())

    def __enter__(self) -> Candidate:
        return self

    def __exit__(self, *error: object) -> None:
        self._workers.shutdown(cancel_futures=True)

    def answer(
        self, rows: Sequence[int], *, batch: int, pad_to: int | None = None, advance: Callable[[], None]
    ) -> list[NDArray[np.float32]]:
        """Return the activated outputs of rows, in their order.

        Args:
            rows: indices; neighbours share a batch.
            pad_to: tokens that every row is padded to; by default the longest of its batch.
            advance: called after every batch.
        """
        outputs: list[NDArray[np.float32]] = []
        for part in self._workers.map(lambda own: self._run(own, pad_to), batches(rows, batch)):
            outputs += part
            advance()
        return outputs

    def _run(self, rows: Sequence[int], pad_to: int | None) -> list[NDArray[np.float32]]:
        reference = self._reference
        raw: NDArray[Any] = self._engine.run(None, inputs(reference, rows, self._names, pad_to))[0]
        given = answers.activate(reference.meaning, raw)
        if given.ndim < 3:
            return list(given)
        # One answer a token: those of the padding are none.
        return [row[: reference.lengths[i]] for i, row in zip(rows, given, strict=True)]


def batches(rows: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    """Yield runs of at most ``size`` rows."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def inputs(
    reference: Reference, rows: Sequence[int], names: Sequence[str], length: int | None = None
) -> dict[str, NDArray[np.int64]]:
    """Return an engine's inputs, each [N, T], padded as the server pads; T is the longest row, or ``length``.

    A row longer than ``length`` is cut, which only a timing may want.
    """
    return row_inputs([reference.tokens[i] for i in rows], names, reference.padding_id, length)


def row_inputs(
    tokens: Sequence[dict[str, list[int]]], names: Sequence[str], padding_id: int, length: int | None = None
) -> dict[str, NDArray[np.int64]]:
    """Return an engine's inputs for rows as the tokenizer gives them; as `inputs`."""
    longest = length or max(len(row["input_ids"]) for row in tokens)
    tensors = {}
    for name in names:
        filler = padding_id if name == "input_ids" else 0
        tensors[name] = np.full((len(tokens), longest), filler, dtype=np.int64)
        for i, row in enumerate(tokens):
            own = row.get(name, [])[:longest]  # an engine may take token types that the tokenizer does not give
            tensors[name][i, : len(own)] = own
    return tensors
