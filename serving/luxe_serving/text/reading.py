"""Requests that were read and whose rows are not all known yet."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from luxe_serving.text.encoded import Encoded
from luxe_serving.text.pending import Request
from luxe_serving.text.questions import Question

__all__ = ["Read", "groups"]


@dataclasses.dataclass
class Read:
    """A request that was read: what is asked, and the rows as far as they are known."""

    request: Request
    question: Question
    rows: list[Encoded | None]
    tokenize_s: float = 0.0
    """What tokenising it and those that came with it took."""
    error: Exception | None = None


def groups(requests: Sequence[Read], *, most: int) -> Iterator[list[Read]]:
    """Split requests so that few hold their tokens in memory at once; a batch of single texts is never split."""
    group: list[Read] = []
    rows = 0
    for read in requests:
        if group and rows + len(read.rows) > most:
            yield group
            group, rows = [], 0
        group.append(read)
        rows += len(read.rows)
    if group:
        yield group
