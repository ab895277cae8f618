"""Two confusion matrices as tables: shares for the shading, few enough rows to read, and what moved between them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Confusion", "Count", "Matrix", "Move", "confusion"]

_LABELS = 20
"""Rows that can be read; the labels with the fewest wrong answers become one."""
_MOVES = 15


@dataclasses.dataclass(frozen=True)
class Count:
    """A cell of a matrix."""

    count: int
    percent: int
    """Of the texts with this right label."""
    right: bool
    """On the diagonal."""
    moved: bool
    """Other than in the matrix before."""


@dataclasses.dataclass(frozen=True)
class Matrix:
    """Counts [L][L], right labels in rows, answers in columns."""

    rows: tuple[tuple[Count, ...], ...]
    right: int
    """Answers that are right, of all labels."""


@dataclasses.dataclass(frozen=True)
class Move:
    """A cell whose count is another one after."""

    truth: str
    answer: str
    before: int
    after: int
    better: bool
    """More right answers, or fewer wrong ones."""


@dataclasses.dataclass(frozen=True)
class Confusion:
    """Before and after."""

    labels: tuple[str, ...]
    folded: int
    """Labels that the last row and column stand for; 0 when every label has its own."""
    before: Matrix
    after: Matrix | None
    moves: tuple[Move, ...]
    """Largest first, of all labels."""
    more_moves: int
    """Those that are not listed."""
    texts: int


def confusion(
    labels: Sequence[str] | None, before: Sequence[Sequence[int]] | None, after: Sequence[Sequence[int]] | None
) -> Confusion | None:
    """Return the matrices as the page shows them; None where an answer is no single label.

    Args:
        labels: names; numbers from 0 without.
        before: counts [L][L], right labels in rows.
        after: of the candidate; None when its answers are not numbers.
    """
    if before is None:
        return None
    old = np.array(before, dtype=np.int64)
    new = None if after is None else np.array(after, dtype=np.int64)
    names = list(labels) if labels else [str(i) for i in range(len(old))]
    shown, folded = _readable([old] if new is None else [old, new])
    moves = [] if new is None else _moves(names, old, new)
    first = _fold(old, shown, folded)
    return Confusion(
        labels=(*(names[i] for i in shown), *([f"{folded} others"] if folded else [])),
        folded=folded,
        before=_matrix(old, first, first),
        after=None if new is None else _matrix(new, _fold(new, shown, folded), first),
        moves=tuple(moves[:_MOVES]),
        more_moves=max(0, len(moves) - _MOVES),
        texts=int(old.sum()),
    )


def _readable(matrices: Sequence[NDArray[np.int64]]) -> tuple[list[int], int]:
    """Return the labels that get a row of their own, in the model's order, and how many do not."""
    many = len(matrices[0])
    if many <= _LABELS:
        return list(range(many)), 0
    wrong = sum(m.sum(axis=0) + m.sum(axis=1) - 2 * m.diagonal() for m in matrices)
    kept = np.argsort(-wrong, kind="stable")[: _LABELS - 1]
    return sorted(kept.tolist()), many - len(kept)


def _fold(counts: NDArray[np.int64], shown: Sequence[int], folded: int) -> NDArray[np.int64]:
    if not folded:
        return counts
    place = np.full(len(counts), len(shown))
    place[list(shown)] = np.arange(len(shown))
    few = np.zeros((len(shown) + 1, len(shown) + 1), dtype=np.int64)
    np.add.at(few, (place[:, None], place[None, :]), counts)
    return few


def _matrix(whole: NDArray[np.int64], counts: NDArray[np.int64], before: NDArray[np.int64]) -> Matrix:
    percent = np.round(100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)).astype(int)
    rows = tuple(
        tuple(Count(int(count), int(percent[i, j]), i == j, bool(count != before[i, j])) for j, count in enumerate(row))
        for i, row in enumerate(counts)
    )
    return Matrix(rows, int(whole.trace()))


def _moves(names: Sequence[str], before: NDArray[np.int64], after: NDArray[np.int64]) -> list[Move]:
    difference = after - before
    places = sorted(np.argwhere(difference).tolist(), key=lambda place: -abs(difference[tuple(place)]))
    return [
        Move(names[i], names[j], int(before[i, j]), int(after[i, j]), bool((difference[i, j] > 0) == (i == j)))
        for i, j in places
    ]
