"""The gate: a candidate is compared with the PyTorch original on the model's own test set.

It measures what a user would notice: a worse metric, other answers, other probabilities, probabilities that promise too
much, and answers that depend on the texts which happened to be in the same batch.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luxe.schema import Quality
from luxe_export import memory
from luxe_export.evaluation import Outputs
from luxe_export.gate import bootstrap
from luxe_export.gate.answering import Candidate
from luxe_export.gate.bootstrap import Interval
from luxe_export.gate.details import Details, details
from luxe_export.gate.reference import Reference

__all__ = ["Measurement", "findings", "measure", "passes"]

_BATCH = 8
_WINDOW = 64
"""Rows of like length among which batches are filled in the file's order."""
_PADDED_TOKENS, _PADDED_ROWS = 4096, (8, 32)
"""Padding to the maximum costs many times a row's own length; it is checked on so many rows as make these tokens, and
at least and at most on so many."""
_MEMORY_BATCH = 32


@dataclasses.dataclass(frozen=True)
class Measurement:
    """One candidate against PyTorch. What changes are counted in is the evaluation's business (docs/export.md)."""

    candidate: str
    metric_name: str
    metric: float
    metric_interval: Interval
    """95 %, by the bootstrap over units."""
    metric_drop: float
    """PyTorch's metric less this one."""
    metric_drop_interval: Interval
    """95 %, paired: both metrics on the same samples."""
    agreement: float
    """Share of units with PyTorch's answer."""
    change: float
    """Largest change of an answer against PyTorch."""
    batch_change: float
    """Largest change of a row's answer between alone and batched with others, or padded to the maximum."""
    calibration_error: float | None
    """None where answers are no probabilities."""
    calibration_error_rise: float | None
    """Less PyTorch's."""
    rows: int
    """Rows of the test set, all answered in batches."""
    rows_alone: int
    """Rows also answered alone: all, unless the candidate was stopped."""
    stopped: str | None
    """Why the rest was not measured: it could not have saved the candidate."""
    file_bytes: int
    memory_bytes: int
    """Peak that a session adds to a process: loading, and 32 rows of the median length."""

    def to_json(self) -> dict[str, Any]:
        """Return what `json.dumps` takes; a number that is none becomes None."""
        values = dataclasses.asdict(self)
        return {key: _finite(value) for key, value in values.items()}


def measure(
    candidate: str,
    path: Path,
    reference: Reference,
    advance: Callable[[], None],
    *,
    quality: Quality | None = None,
    gpu: int | None = None,
) -> tuple[Measurement, Details]:
    """Run the test set through an ONNX file: batched with others, alone, padded to the maximum.

    All numbers but ``batch_change`` are of answers to rows alone, which cost most. A candidate is stopped before them
    when one batched answer is further from PyTorch's than ``max_change`` and ``max_batch_change`` together: by the
    triangle inequality one of these two rules fails, whatever it answers alone. Its numbers are then of the batched
    answers, and the rows that changed most are answered alone and padded, to see how far the batch moves them.

    Args:
        advance: called after every batch, for a progress bar; `passes` says how often.
        quality: lets a candidate be stopped; without, everything is measured.
        gpu: number of the GPU that answers; None means the CPU.
    """
    answers = _ask(path, reference, advance, quality, gpu)
    memory_bytes = memory.peak_bytes(path, _MEMORY_BATCH, int(np.median(reference.lengths)))
    advance()
    metric, samples = math.nan, np.full(1, math.nan)
    agreement, error, change = math.nan, None if reference.calibration_error is None else math.nan, math.nan
    if all(np.isfinite(row).all() for row in answers.given):
        evaluation = reference.evaluation
        metric, samples = evaluation.score(answers.given), bootstrap.resampled(evaluation, answers.given)
        agreement = float(evaluation.agreement(reference.outputs, answers.given).mean())
        error = evaluation.calibration_error(answers.given)
        change = float(evaluation.change(reference.outputs, answers.given).max())
    measurement = Measurement(
        candidate=candidate,
        metric_name=reference.evaluation.metric,
        metric=metric,
        metric_interval=bootstrap.interval(samples),
        metric_drop=reference.score - metric,
        metric_drop_interval=bootstrap.interval(reference.resampled - samples),
        agreement=agreement,
        change=change,
        batch_change=answers.batch_change,
        calibration_error=error,
        calibration_error_rise=None if error is None else error - (reference.calibration_error or 0.0),
        rows=len(reference.tokens),
        rows_alone=answers.rows_alone,
        stopped=answers.stopped,
        file_bytes=_file_bytes(path),
        memory_bytes=memory_bytes,
    )
    return measurement, details(reference, answers.given)


def passes(reference: Reference) -> int:
    """Return how often `measure` calls ``advance``."""
    rows = len(reference.tokens)
    return -(-rows // _BATCH) + rows + -(-len(_spread(reference)) // _BATCH) + 1


def findings(measurement: Measurement, quality: Quality) -> list[str]:
    """Return why a candidate fails, a sentence for each rule; empty when it passes.

    Written as "not within" so that a measurement that is not a number fails.
    """
    m = measurement
    moved = "largest change in a batch" if m.stopped is None else "largest change in a batch, of those seen,"
    rules: list[tuple[str, float | None, str, float]] = [
        (m.metric_name, m.metric, "under", quality.min_metric),
        (f"{m.metric_name} drop", m.metric_drop, "over", quality.max_metric_drop),
        ("agreement with PyTorch", m.agreement, "under", quality.min_agreement),
        ("largest change against PyTorch", m.change, "over", quality.max_change),
        (moved, m.batch_change, "over", quality.max_batch_change),
        ("rise of the calibration error", m.calibration_error_rise, "over", quality.max_calibration_error_rise),
    ]
    found = [
        f"{name} {value:.4f} is {bad} {bound}"
        for name, value, bad, bound in rules
        if value is not None and not (value >= bound if bad == "under" else value <= bound)
    ]
    return found if m.stopped is None else [m.stopped, *found]


@dataclasses.dataclass(frozen=True)
class _Answers:
    given: Outputs
    """What the candidate is judged by: alone; batched when it was stopped."""
    batch_change: float
    rows_alone: int
    stopped: str | None


def _ask(
    path: Path, reference: Reference, advance: Callable[[], None], quality: Quality | None, gpu: int | None
) -> _Answers:
    evaluation, rows = reference.evaluation, len(reference.tokens)
    with Candidate(path, reference, gpu=gpu) as engine:
        order = _mixed(reference)
        together = engine.answer(order, batch=_BATCH, advance=advance)
        batched = [together[place] for place in np.argsort(order).tolist()]
        off = np.nan_to_num(evaluation.change(reference.outputs, batched), nan=np.inf, posinf=np.inf)
        sound = all(np.isfinite(row).all() for row in batched)
        doubtless = None if quality is None else _beyond_doubt(float(off.max()), sound, quality)
        some = _spread(reference)
        if doubtless is not None:
            some = sorted(np.argsort(-off, kind="stable")[: len(some)].tolist())
        asked = range(rows) if doubtless is None else some
        lone = _replaced(batched, asked, engine.answer(asked, batch=1, advance=advance))
        wide = engine.answer(some, batch=_BATCH, pad_to=reference.max_length, advance=advance)
    for _ in range(rows - len(asked)):
        advance()
    moved = [evaluation.change(lone, x, reference.outputs) for x in (batched, _replaced(lone, some, wide))]
    stopped = None
    if doubtless is not None:
        stopped = (
            f"{doubtless}; numbers are of batched answers, and {len(asked)} of {rows} rows were also answered alone"
        )
    return _Answers(lone if stopped is None else batched, float(np.max(moved)), len(asked), stopped)


def _beyond_doubt(largest: float, sound: bool, quality: Quality) -> str | None:
    bound = quality.max_change + quality.max_batch_change
    if largest <= bound:
        return None
    if not sound:
        return "stopped: a batched answer is not a number"
    if np.isinf(largest):  # counted in a spread or a length that is 0
        return "stopped: a batched answer moved where PyTorch's answers never vary, or are all 0"
    return f"stopped: a batched answer is {largest:.4f} from PyTorch's, over max_change and max_batch_change together"


def _mixed(reference: Reference) -> list[int]:
    """Return all rows in an order whose neighbours differ in length, though seldom by much.

    In the file's own order padding took half of the time; rows far shorter than their batch are those of `_spread`.
    """
    by_length = np.argsort(reference.lengths, kind="stable")
    windows = [np.sort(by_length[start : start + _WINDOW]) for start in range(0, len(by_length), _WINDOW)]
    return [int(row) for window in windows for row in window]


def _spread(reference: Reference) -> list[int]:
    """Return the rows that are padded to the maximum, from all over the file."""
    rows = len(reference.tokens)
    least, most = _PADDED_ROWS
    wanted = min(most, max(least, _PADDED_TOKENS // reference.max_length))
    return sorted({int(i) for i in np.linspace(0, rows - 1, min(rows, wanted))})


def _replaced(
    outputs: Sequence[NDArray[np.float32]], rows: Sequence[int], others: Sequence[NDArray[np.float32]]
) -> list[NDArray[np.float32]]:
    result = list(outputs)
    for i, other in zip(rows, others, strict=True):
        result[i] = other
    return result


def _file_bytes(path: Path) -> int:
    """With the external data beside it, if there is any."""
    return sum(p.stat().st_size for p in (path, path.with_name(f"{path.name}.data")) if p.exists())


def _finite(value: object) -> object:
    if isinstance(value, (list, tuple)):
        return [_finite(x) for x in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
