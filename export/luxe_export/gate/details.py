"""What a report shows of a candidate beside its numbers: confusions, reliability, the answers that changed most."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from luxe_export.evaluation import Bin, Outputs, Row
from luxe_export.gate.reference import Reference

__all__ = ["Changed", "Details", "details"]

_CHANGED = 10

Counts = tuple[tuple[int, ...], ...]


@dataclasses.dataclass(frozen=True)
class Changed:
    """A row with its answers in a few words."""

    row: Row
    truth: str | None
    before: str
    after: str
    change: float
    """In the unit of the task's ``max_change``."""


@dataclasses.dataclass(frozen=True)
class Details:
    """PyTorch before, the candidate after."""

    confusion_before: Counts | None
    """[L][L], right labels in rows; None where an answer is no single label."""
    confusion_after: Counts | None
    reliability_before: tuple[Bin, ...] | None
    """From least to most confident; None where answers are no probabilities."""
    reliability_after: tuple[Bin, ...] | None
    changed: tuple[Changed, ...]
    """At most ten, largest change first."""

    def to_json(self) -> dict[str, Any]:
        """Return what `json.dumps` takes."""
        return dataclasses.asdict(self)


def details(reference: Reference, outputs: Outputs) -> Details:
    """Compare a candidate's answers with PyTorch's; a change that is not a number counts as the largest, 1e9."""
    evaluation, before = reference.evaluation, reference.outputs
    change = np.nan_to_num(evaluation.change(before, outputs), nan=1e9, posinf=1e9)
    most = np.argsort(-change, kind="stable")[:_CHANGED]
    sound = all(np.isfinite(row).all() for row in outputs)
    return Details(
        confusion_before=_confusion(reference, before),
        confusion_after=_confusion(reference, outputs) if sound else None,
        reliability_before=evaluation.reliability(before),
        reliability_after=evaluation.reliability(outputs) if sound else None,
        changed=tuple(
            Changed(
                row=evaluation.rows[i],
                truth=evaluation.truth(i),
                before=evaluation.describe(before, i),
                after=evaluation.describe(outputs, i),
                change=float(change[i]),
            )
            for i in most.tolist()
        ),
    )


def _confusion(reference: Reference, outputs: Outputs) -> Counts | None:
    counts = reference.evaluation.confusion(outputs)
    return None if counts is None else tuple(tuple(row) for row in counts.tolist())
