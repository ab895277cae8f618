"""Which matrix products suffer most from int8: each is quantised alone, and the model's answers are compared."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from luxe_export.ladder import int8, ranges
from luxe_export.ladder.ranges import Batches, Channels
from luxe_serving.onnx_engine import session

__all__ = ["most_sensitive"]

_TEXTS = 24
_SHARE = 4
"""One in so many stays in float."""


def most_sensitive(graph: Path, folder: Path, quantize: Callable[..., None], batches: Batches) -> list[str]:
    """Return the inputs of the products to keep in float, worst first.

    Args:
        graph: fp32, as `int8.quantize` takes it.
        quantize: `int8.quantize` with all but source, target, batches and keep.
        batches: training texts; the first 24 are asked.
    """

    def some() -> Any:
        return itertools.islice(batches(), _TEXTS)

    def answers(path: Path) -> Any:
        engine = session(path)
        return np.concatenate([np.ravel(engine.run(None, batch)[0]) for batch in some()])

    every = int8.sites(graph)
    original, scratch = answers(graph), folder / "sensitivity.onnx"
    error: dict[str, float] = {}
    seen: Channels = {}
    ranges.channels(graph, every, some, seen)  # of all at once, from which each is then quantised
    for site in every:
        quantize(graph, scratch, batches=some, keep=[other for other in every if other != site], seen=seen)
        error[site] = float(np.square(answers(scratch) - original).mean())
    scratch.unlink()
    return sorted(every, key=lambda site: -error[site])[: -(-len(every) // _SHARE)]
