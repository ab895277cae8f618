"""Calibration: how large the activations get on training texts. Streams; one batch is held at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from luxe_serving.onnx_engine import session

__all__ = ["Batches", "Channels", "Clip", "channels", "clip"]

Batches = Callable[[], Iterable[dict[str, NDArray[np.int64]]]]
"""Returns the calibration texts anew: token tensors [1, T] by name, nothing padded."""
Channels = dict[str, NDArray[np.float32]]
"""By tensor name."""
Clip = Literal["minmax", "percentile", "entropy"]

_PERCENTILE = 99.999
_BINS = 2048
_LEVELS = 256


def channels(
    graph: Path, names: Sequence[str], batches: Batches, seen: Channels | None = None
) -> dict[str, NDArray[np.float32]]:
    """Return the smallest and the largest value of every channel, ``[2, K]`` by tensor name.

    Args:
        seen: what was found before in the same graph on the same texts; only what it lacks is looked at, and added.
    """
    known: Channels = {} if seen is None else seen
    found: Channels = {}

    def look(name: str, values: NDArray[np.float32]) -> None:
        here = np.stack([values.min(axis=0), values.max(axis=0)])
        before = found.setdefault(name, here)
        found[name] = np.stack([np.minimum(before[0], here[0]), np.maximum(before[1], here[1])])

    if missing := [name for name in names if name not in known]:
        _watch(graph, missing, batches, look)
    known.update(found)
    return {name: known[name] for name in names}


def clip(
    graph: Path,
    smoothed: Mapping[str, tuple[NDArray[np.float32], float, float]],
    batches: Batches,
    method: Clip,
) -> dict[str, tuple[float, float]]:
    """Return the range that a tensor is quantised over, by name.

    Args:
        smoothed: by name, what its channels are divided by, [K], and the range of the quotients.
        method: "minmax" keeps that range; "percentile" cuts the rarest 0.001 % of the values; "entropy" takes the
            range whose quantised histogram loses least information (Kullback-Leibler; Migacz, "8-bit inference with
            TensorRT", GTC 2017).
    """
    if method == "minmax":
        return {name: (low, high) for name, (_, low, high) in smoothed.items()}
    counts = {name: np.zeros(_BINS, np.int64) for name in smoothed}

    def look(name: str, values: NDArray[np.float32]) -> None:
        divisor, low, high = smoothed[name]
        counts[name] += np.histogram(values / divisor, bins=_BINS, range=(low, high))[0]

    _watch(graph, list(smoothed), batches, look)
    cut = _percentile if method == "percentile" else _entropy
    result = {}
    for name, (_, low, high) in smoothed.items():
        first, last = cut(counts[name])
        width = (high - low) / _BINS
        result[name] = min(0.0, low + first * width), max(0.0, low + last * width)  # zero must be a level
    return result


def _percentile(counts: NDArray[np.int64]) -> tuple[int, int]:
    """Return the first and one past the last bin that stay."""
    share = np.cumsum(counts) / counts.sum()
    rare = 1 - _PERCENTILE / 100
    return int(np.searchsorted(share, rare, side="right")), int(np.searchsorted(share, 1 - rare)) + 1


def _entropy(counts: NDArray[np.int64]) -> tuple[int, int]:
    """Shrink the range towards the histogram's mode, step by step, and keep the best."""
    mode = int(counts.argmax())
    best, kept = np.inf, (0, _BINS)
    for share in np.linspace(1, 0.1, 46):
        first, last = int(mode * (1 - share)), int(np.ceil(mode + (_BINS - mode) * share))
        loss = _divergence(counts, first, last)
        if loss < best:
            best, kept = loss, (first, last)
    return kept


def _divergence(counts: NDArray[np.int64], first: int, last: int) -> float:
    inside = counts[first:last].astype(np.float64)
    inside[0] += counts[:first].sum()
    inside[-1] += counts[last:].sum()
    level = np.arange(len(inside)) * _LEVELS // len(inside)
    filled = counts[first:last] > 0
    per_level = np.bincount(level, counts[first:last], _LEVELS)
    spread = np.maximum(np.bincount(level, filled, _LEVELS), 1)
    approximation = np.where(filled, (per_level / spread)[level], 0.0)
    p, q = inside / inside.sum(), approximation / max(approximation.sum(), 1)
    there = p > 0
    return float(np.sum(p[there] * np.log(p[there] / np.maximum(q[there], 1e-12))))


def _watch(
    graph: Path, names: Sequence[str], batches: Batches, look: Callable[[str, NDArray[np.float32]], None]
) -> None:
    import onnx

    if not names:  # ONNX Runtime takes no names for all
        return
    model = onnx.load(str(graph))
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    watched = graph.with_suffix(".watched.onnx")
    try:
        onnx.save(model, str(watched))
        engine: Any = session(watched)
        for batch in batches():
            for name, values in zip(names, engine.run(list(names), batch), strict=True):
                look(name, values.reshape(-1, values.shape[-1]))
    finally:
        watched.unlink(missing_ok=True)
