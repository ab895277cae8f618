"""How fast a candidate is, in the shapes that matter and as the server would run it.

The candidates take turns, round by round, so that a machine that slows down slows all of them; medians count. A shape
stops being repeated when it has had its share of time, so that a large model does not take minutes.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luxe_export.gate.answering import batches, inputs
from luxe_export.gate.reference import Reference
from luxe_serving.onnx_engine import session

__all__ = ["STEPS", "WORKING_BATCH", "Latency", "Shape", "latency", "lengths"]

WORKING_BATCH = 8
"""Rows of a micro-batch that stands for service. At 32 callers, with up to 8 allowed, they came to 4."""

BASELINE = "fp32"
STEPS = 4
"""How often `latency` calls ``advance``: once a shape, once for the working point."""
_BATCHES, _BATCHED_ROWS = 4, 32
"""Of the working point: so many micro-batches, or as many as make so many rows if these are more."""
_MIN_ROUNDS, _MAX_ROUNDS = 3, 25
_BUDGET_S = 1.0
"""Time of a shape and candidate after which it is not repeated, once it had its least rounds."""
_WORKING_POINT_BUDGET_S = 2.0

Inputs = dict[str, NDArray[np.int64]]


@dataclasses.dataclass(frozen=True)
class Shape:
    """One batch of rows of one length."""

    batch: int
    tokens: int
    ms: float
    """Median of a run."""
    ratio: float | None
    """Of fp32's time in the same round, the median; None without fp32."""


@dataclasses.dataclass(frozen=True)
class Latency:
    """One candidate's times, on one session of as many threads as an instance on the server has."""

    shapes: tuple[Shape, ...]
    """(1, short), (8, typical), (32, typical)."""
    ms_per_text: float
    """A row of the test set, in micro-batches of like length as the server makes them: the working point."""
    ratio: float | None
    """Of fp32's time at the working point."""

    def to_json(self) -> dict[str, Any]:
        """Return what `json.dumps` takes."""
        return dataclasses.asdict(self)


def latency(
    paths: Mapping[str, Path],
    reference: Reference,
    *,
    threads: int,
    micro_batch: int,
    advance: Callable[[], None],
    gpu: int | None = None,
) -> dict[str, Latency]:
    """Time candidates against each other.

    Args:
        threads: of a session, the catalogue's ``intra_op_threads``.
        micro_batch: rows at the working point.
        advance: called `STEPS` times, for a progress bar.
        gpu: number of the GPU that runs them; None means the CPU.
    """
    engines = {name: session(path, intra_op_threads=threads, gpu=gpu) for name, path in paths.items()}
    names = {name: [value.name for value in engine.get_inputs()] for name, engine in engines.items()}

    def timed(works: Sequence[tuple[Sequence[int], int | None]], budget_s: float) -> dict[str, NDArray[np.float64]]:
        # Token types and the like may be an input of some candidates only.
        batched = {
            name: [inputs(reference, rows, own, length) for rows, length in works] for name, own in names.items()
        }
        return _rounds(engines, batched, budget_s)

    short, typical = lengths(reference)
    shapes: dict[str, list[Shape]] = {name: [] for name in paths}
    for batch, tokens in ((1, short), (8, typical), (32, typical)):
        seconds = timed([(_rows_of_length(reference, batch, tokens), tokens)], _BUDGET_S)
        for name, own in seconds.items():
            shapes[name].append(Shape(batch, tokens, float(np.median(own)) * 1e3, _ratio(own, seconds.get(BASELINE))))
        advance()
    works = _working_point(reference, micro_batch)
    texts = sum(len(rows) for rows in works)
    seconds = timed([(rows, None) for rows in works], _WORKING_POINT_BUDGET_S)
    advance()
    return {
        name: Latency(tuple(shapes[name]), float(np.median(own)) * 1e3 / texts, _ratio(own, seconds.get(BASELINE)))
        for name, own in seconds.items()
    }


def lengths(reference: Reference) -> tuple[int, int]:
    """Return the 10th percentile and the median of the rows' tokens: short and typical.

    The lower of two neighbours, so that both are lengths that occur.
    """
    short, typical = np.percentile(reference.lengths, [10, 50], method="lower")
    return int(short), int(typical)


def _rows_of_length(reference: Reference, batch: int, tokens: int) -> list[int]:
    """Return the rows nearest in length; of few rows some come twice."""
    nearest = np.argsort(np.abs(reference.lengths - tokens), kind="stable").tolist()
    return [nearest[i % len(nearest)] for i in range(batch)]


def _working_point(reference: Reference, micro_batch: int) -> list[Sequence[int]]:
    """Return micro-batches of rows of like length, from all over the lengths; all rows when they are few."""
    order = np.argsort(reference.lengths, kind="stable").tolist()
    wanted = max(_BATCHES, _BATCHED_ROWS // micro_batch)
    if len(order) <= wanted * micro_batch:
        return list(batches(order, micro_batch))
    starts = np.linspace(0, len(order), wanted, endpoint=False) + len(order) / wanted / 2 - micro_batch / 2
    return [order[int(start) : int(start) + micro_batch] for start in starts]


def _rounds(
    engines: Mapping[str, Any], works: Mapping[str, Sequence[Inputs]], budget_s: float
) -> dict[str, NDArray[np.float64]]:
    """Return by candidate the seconds of each round over all of its batches."""
    for name, engine in engines.items():
        engine.run(None, works[name][-1])  # warm: memory for the largest is there
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    began = time.perf_counter()
    for done in range(_MAX_ROUNDS):
        if done >= _MIN_ROUNDS and time.perf_counter() - began > budget_s * len(engines):
            break
        for name, engine in engines.items():
            start = time.perf_counter()
            for batch in works[name]:
                engine.run(None, batch)
            seconds[name].append(time.perf_counter() - start)
    return {name: np.array(rounds) for name, rounds in seconds.items()}


def _ratio(own: NDArray[np.float64], baseline: NDArray[np.float64] | None) -> float | None:
    return None if baseline is None else float(np.median(own / baseline))
