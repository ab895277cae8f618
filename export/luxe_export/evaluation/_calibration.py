"""Rows of the training split for static quantisation, without the training split in memory."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from luxe.errors import UserError
from luxe.schema import Entry
from luxe_export.evaluation._base import Row
from luxe_training import json_values
from luxe_training.json_values import text

__all__ = ["calibration_rows"]


def calibration_rows(entry: Entry, folder: Path, count: int, *, seed: int = 0) -> Iterator[Row]:
    """Return up to ``count`` engine rows of ``train.jsonl``, in an order that the seed settles; reads a line at a time.

    Right answers are not looked at, and may be missing. A row of the data that is several of the engine (a text with
    each candidate label; the two texts of an embedding's pair) gives one of them, in turn.

    Raises:
        UserError: there is no training split, or it is empty (at once); a line that was drawn is not usable (when it
            is reached).
    """
    path = folder / "train.jsonl"
    offsets = _draw(path, count, random.Random(seed))
    return _rows(entry, path, offsets)


def _draw(path: Path, count: int, chance: random.Random) -> list[tuple[int, int]]:
    """Return ``(line number, offset)`` of ``count`` lines, each as likely as any other (Vitter's algorithm R)."""
    drawn: list[tuple[int, int]] = []
    offset = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file):
                place = number if number < count else chance.randrange(number + 1)
                if number < count:
                    drawn.append((number + 1, offset))
                elif place < count:
                    drawn[place] = (number + 1, offset)
                offset += len(line)
    except OSError as error:
        raise UserError(f"no data to calibrate static quantisation with: {path}: {error.strerror}") from None
    if not drawn:
        raise UserError(f"no data to calibrate static quantisation with: {path} is empty")
    chance.shuffle(drawn)
    return drawn


def _rows(entry: Entry, path: Path, drawn: list[tuple[int, int]]) -> Iterator[Row]:
    with path.open("rb") as file:
        for turn, (number, offset) in enumerate(drawn):
            file.seek(offset)
            where = f"{path.parent.name}/{path.name} line {number}"
            try:
                yield _row(entry, where, json_values.parse(file.readline()), turn)
            except (ValueError, KeyError, TypeError) as error:
                raise UserError(f"{where}: not a row of {entry.task}: {error!r}") from None


def _row(entry: Entry, where: str, row: dict[str, Any], turn: int) -> Row:
    if entry.task == "text-ranking":
        return text(where, row, "query"), text(where, row, "document")
    if entry.task == "zero-shot-classification":
        return text(where, row, "text"), entry.hypothesis_template.format(entry.labels[turn % len(entry.labels)])
    if entry.task == "feature-extraction" and "text_pair" in row:
        return text(where, row, ("text", "text_pair")[turn % 2])
    first = text(where, row, "text")
    return (first, text(where, row, "text_pair")) if entry.text_pairs else first
