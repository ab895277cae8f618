"""Rows of like length as the engine wants them, its outputs without the padding, and what that costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from luxe_serving.scheduling.cost import Run
from luxe_serving.text.encoded import Encoded
from luxe_serving.text.settings import Settings

__all__ = ["Engine", "PaddedEngine", "shapes"]

Engine = Callable[[dict[str, NDArray[np.int64]]], NDArray[np.float32]]
"""Token tensors [N, T] by input name → [N, classes], or for some tasks [N, T, classes]. Called from several threads."""


def shapes(max_length: int, max_batch: int) -> list[tuple[int, int]]:
    """Return the (batch, tokens) that an engine is warmed up with, smallest first: powers of two, and the largest."""
    batches, lengths = list(_doubling(1, max_batch)), list(_doubling(min(8, max_length), max_length))
    return sorted(((batch, length) for batch in batches for length in lengths), key=lambda s: s[0] * s[1])


class PaddedEngine:
    """An engine that takes rows.

    Args:
        settings: of the model.
        engine: computes logits or embeddings.
        per_token: its output has a place for every token.
    """

    def __init__(self, settings: Settings, engine: Engine, *, per_token: bool) -> None:
        self._settings = settings
        self._engine = engine
        self._per_token = per_token

    def run(self, rows: Sequence[Encoded]) -> list[NDArray[np.float32]]:
        """Return the engine's output of each row, without what belongs to padding.

        Raises:
            RuntimeError: it is not of the right shape, or not all numbers are finite.
        """
        tensors = self._pad(rows)
        output = np.asarray(self._engine(tensors))
        places = next(iter(tensors.values())).shape if self._per_token else (len(rows),)
        if output.shape != (*places, self._settings.engine_width):
            raise RuntimeError(f"the engine gave no usable {self._settings.engine_output}: shape {output.shape}")
        outputs = [
            of_row[: len(row.ids)] if self._per_token else of_row for row, of_row in zip(rows, output, strict=True)
        ]
        if not np.isfinite(output).all() and not all(np.isfinite(of_row).all() for of_row in outputs):
            raise RuntimeError(f"the engine gave no usable {self._settings.engine_output}: not all are finite numbers")
        return outputs

    def time(self, batch: int, length: int, *, clock: Callable[[], float] = time.perf_counter) -> Run:
        """Run a batch of the shape once."""
        # Which tokens does not matter; 1 is in every vocabulary.
        ones = np.ones((batch, length), dtype=np.int64)
        began = clock()
        self._engine(self._wanted(ones, ones, np.zeros_like(ones)))
        return Run(batch, length, clock() - began)

    def _pad(self, rows: Sequence[Encoded]) -> dict[str, NDArray[np.int64]]:
        """Return the engine's inputs, each [N, T] with T the longest row of the batch."""
        shape = (len(rows), max(len(row.ids) for row in rows))
        ids = np.full(shape, self._settings.padding_id, dtype=np.int64)
        mask, types = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        for i, row in enumerate(rows):
            length = len(row.ids)
            ids[i, :length] = row.ids
            mask[i, :length] = 1
            types[i, :length] = row.type_ids
        return self._wanted(ids, mask, types)

    def _wanted(
        self, ids: NDArray[np.int64], mask: NDArray[np.int64], types: NDArray[np.int64]
    ) -> dict[str, NDArray[np.int64]]:
        tensors = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
        return {name: tensors[name] for name in self._settings.engine_inputs}


def _doubling(first: int, last: int) -> Iterator[int]:
    while first < last:
        yield first
        first *= 2
    yield last
