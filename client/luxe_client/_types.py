"""The answers, one type a task."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

__all__ = ["Classification"]


@dataclasses.dataclass(frozen=True)
class Classification:
    """What a single-label classifier says of one text.

    Attributes:
        label: the label with the highest probability.
        score: its calibrated probability, 0 to 1.
        scores: the probability of every label; they sum to 1. In the model's own order.
        needs_review: the score is below the model's review threshold: let a person look.
        truncated: the text was longer than the model reads; its end was not seen.
        model: name of the model that answered.
        version: its version in the model repository.
        request_id: id of the request that carried the text, for the server's logs.
    """

    label: str
    score: float
    scores: Mapping[str, float]
    needs_review: bool
    truncated: bool
    model: str
    version: str
    request_id: str
