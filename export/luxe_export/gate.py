"""The gate: a candidate is compared with the PyTorch original on the model's own test set.

It measures what a user would notice: other labels, other probabilities, and answers that depend on the texts
which happened to be in the same batch.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luxe.catalog import Quality
from luxe_serving.onnx_engine import session
from luxe_training.calibration import softmax

__all__ = ["Measurement", "Reference", "findings", "measure", "time_per_text"]

_BATCH = 8
_PADDED_TEXTS = 32
"""Padding to the maximum costs many times a text's own length; it is checked on this many texts."""
_TIMED_TEXTS = 200

TIMING_ROUNDS = 3


@dataclasses.dataclass(frozen=True)
class Reference:
    """What PyTorch says of the test set, and the test set as tokens."""

    tokens: Sequence[dict[str, list[int]]]
    """By text: ``input_ids``, ``attention_mask`` and what else the model takes."""
    labels: NDArray[np.int64]
    """[N], the right labels."""
    probabilities: NDArray[np.float64]
    """[N, L], PyTorch in fp32, each text alone."""
    max_length: int
    padding_id: int

    @property
    def macro_f1(self) -> float:
        return _macro_f1(self.labels, self.probabilities)


@dataclasses.dataclass(frozen=True)
class Measurement:
    """One candidate against the reference."""

    candidate: str
    macro_f1: float
    macro_f1_drop: float
    label_agreement: float
    max_probability_change: float
    max_batch_probability_change: float
    file_bytes: int


def measure(candidate: str, path: Path, reference: Reference, advance: Callable[[], None]) -> Measurement:
    """Run the test set through an ONNX file: alone, batched with others, padded to the maximum.

    Args:
        advance: called after every batch, for a progress bar; `passes` says how often.
    """
    engine = session(path)
    # In the order of the file, so that short texts share a batch with long ones.
    order = np.arange(len(reference.tokens))
    alone = _run(engine, reference, order, batch=1, pad_to=None, advance=advance)
    batched = _run(engine, reference, order, batch=_BATCH, pad_to=None, advance=advance)
    some = order[:_PADDED_TEXTS]
    padded = _run(engine, reference, some, batch=_BATCH, pad_to=reference.max_length, advance=advance)
    macro_f1 = _macro_f1(reference.labels, alone)
    return Measurement(
        candidate=candidate,
        macro_f1=macro_f1,
        macro_f1_drop=reference.macro_f1 - macro_f1,
        label_agreement=float((alone.argmax(axis=1) == reference.probabilities.argmax(axis=1)).mean()),
        max_probability_change=float(np.abs(alone - reference.probabilities).max()),
        max_batch_probability_change=float(max(np.abs(alone - batched).max(), np.abs(alone[some] - padded).max())),
        file_bytes=path.stat().st_size,
    )


def passes(reference: Reference) -> int:
    """Return how many batches `measure` runs."""
    texts = len(reference.tokens)
    return texts + -(-texts // _BATCH) + -(-min(texts, _PADDED_TEXTS) // _BATCH)


def findings(measurement: Measurement, quality: Quality) -> list[str]:
    """Return why a candidate fails; empty when it passes.

    Written as "not within" so that a measurement that is not a number fails.
    """
    rules = [
        ("macro-F1", measurement.macro_f1, "under", quality.min_macro_f1),
        ("macro-F1 drop", measurement.macro_f1_drop, "over", quality.max_macro_f1_drop),
        ("label agreement", measurement.label_agreement, "under", quality.min_label_agreement),
        (
            "largest probability change",
            measurement.max_probability_change,
            "over",
            quality.max_probability_change,
        ),
        (
            "largest probability change in a batch",
            measurement.max_batch_probability_change,
            "over",
            quality.max_batch_probability_change,
        ),
    ]
    return [
        f"{name} {value:.4f} is {bad} {bound}"
        for name, value, bad, bound in rules
        if not (value >= bound if bad == "under" else value <= bound)
    ]


def time_per_text(
    paths: dict[str, Path],
    reference: Reference,
    *,
    threads: int,
    micro_batch: int,
    advance: Callable[[], None],
) -> dict[str, float]:
    """Return milliseconds per text by candidate, in micro-batches of like length as the server makes them.

    The candidates take turns, round by round, so that a machine that slows down slows all of them; the median
    round counts.
    """
    order = np.argsort([len(t["input_ids"]) for t in reference.tokens], kind="stable")
    order = order[:: max(1, len(order) // _TIMED_TEXTS)]
    engines = {name: session(path, intra_op_threads=threads) for name, path in paths.items()}
    batches = list(_batches(reference, order, micro_batch, None))
    seconds: dict[str, list[float]] = {name: [] for name in paths}
    for _ in range(TIMING_ROUNDS + 1):
        for name, engine in engines.items():
            start = time.perf_counter()
            for batch in batches:
                engine.run(None, batch)
            seconds[name].append(time.perf_counter() - start)
            advance()
    # The first round warms up.
    return {name: float(np.median(rounds[1:])) * 1e3 / len(order) for name, rounds in seconds.items()}


def _run(
    engine: Any,
    reference: Reference,
    order: NDArray[np.int64],
    *,
    batch: int,
    pad_to: int | None,
    advance: Callable[[], None],
) -> NDArray[np.float64]:
    logits = []
    for inputs in _batches(reference, order, batch, pad_to):
        logits.append(engine.run(None, inputs)[0])
        advance()
    return softmax(np.concatenate(logits))


def _batches(
    reference: Reference, order: NDArray[np.int64], batch: int, pad_to: int | None
) -> Iterator[dict[str, NDArray[np.int64]]]:
    for start in range(0, len(order), batch):
        rows = [reference.tokens[i] for i in order[start : start + batch]]
        longest = pad_to or max(len(row["input_ids"]) for row in rows)
        yield {
            name: np.array(
                [
                    row[name] + [reference.padding_id if name == "input_ids" else 0] * (longest - len(row[name]))
                    for row in rows
                ],
                dtype=np.int64,
            )
            for name in rows[0]
        }


def _macro_f1(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(labels, probabilities.argmax(axis=1), average="macro"))
