"""What the right answers are, so that each one under load can be checked: every text is asked once of every server."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from luxe.errors import UserError
from luxe_bench.cost.reference import TOLERANCE, wrong
from luxe_client import Client

__all__ = ["Known", "ask", "distinct"]

Known = tuple[list[str], NDArray[np.float32]]
"""Texts, and the scores [N, L] of each."""

_TIMEOUT_S = 120.0


def ask(addresses: Sequence[str], model: str, texts: Sequence[str]) -> Known:
    """Return those texts whose answers cannot be taken for one another's, with their answers.

    Raises:
        UserError: two servers answer differently.
    """
    first: NDArray[np.float32] | None = None
    for address in addresses:
        with Client(address, timeout_s=_TIMEOUT_S) as client:
            answers = client.classify(model, list(texts))
        scores = np.array([list(answer.scores.values()) for answer in answers], np.float32)
        if first is None:
            first = scores
        elif (different := int(wrong(scores, first).sum())) > 0:
            raise UserError(f"{address} gives {different} of {len(texts)} texts another answer than {addresses[0]}")
    assert first is not None
    chosen = distinct(first)
    return [texts[i] for i in chosen], first[chosen]


def distinct(scores: NDArray[np.float32]) -> list[int]:
    """Return the rows that differ from each other by more than twice what an answer may be off."""
    chosen: list[int] = []
    for i, row in enumerate(scores):
        if all(np.abs(row - scores[j]).max() > 2 * TOLERANCE for j in chosen):
            chosen.append(i)
    return chosen
