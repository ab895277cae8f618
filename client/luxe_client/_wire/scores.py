"""text-ranking and zero-shot-classification, which both answer with numbers only. For N texts and K candidates:

in   text              BYTES [N, 1]   the query, or the text
in   text_pair         BYTES [N, 1]   text-ranking: the document
in   candidate_labels  BYTES [N, K]   zero-shot-classification
in   multi_label       BOOL  [N, 1]   zero-shot-classification
out  scores            FP32  [N, 1], or [N, K] in the order of the candidates
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from luxe_client._types import Score, ZeroShot, ZeroShotLabels
from luxe_client._wire.tensors import Facts, Tensor, answers, probabilities

__all__ = ["pair_scores", "zero_shots"]

_WANTED = {"scores": "FP32"}


def pair_scores(request: Any, response: Any, *, address: str) -> list[Score]:
    """Return the score of each pair, in order.

    Raises:
        ProtocolError: the response is not an answer to this request.
    """
    return answers(request, response, address=address, what="text-ranking", wanted=_WANTED, read=_read_pairs)


def zero_shots(
    request: Any, response: Any, *, address: str, candidates: Sequence[str], multi_label: bool
) -> list[ZeroShot] | list[ZeroShotLabels]:
    """Return the probabilities of the candidates for each text, in order.

    Raises:
        ProtocolError: the response is not an answer to this request.
    """
    read: Any = functools.partial(_read_candidates, candidates, multi_label)
    return answers(request, response, address=address, what="zero-shot-classification", wanted=_WANTED, read=read)


def _read_pairs(found: dict[str, Tensor], count: int) -> list[Callable[[Facts], Score]]:
    scores = found["scores"]
    if scores.shape != (count, 1) or not np.isfinite(scores.array()).all():
        raise ValueError(f"scores is {list(scores.shape)} for {count} pairs, or no numbers")
    return [functools.partial(_score, value) for (value,) in scores.rows()]


def _score(value: float, facts: Facts) -> Score:
    return Score(value=value, values={"score": value}, **facts)


def _read_candidates(
    candidates: Sequence[str], multi_label: bool, found: dict[str, Tensor], count: int
) -> list[Callable[[Facts], ZeroShot | ZeroShotLabels]]:
    scores = found["scores"]
    if scores.shape != (count, len(candidates)):
        raise ValueError(f"scores is {list(scores.shape)} for {count} texts and {len(candidates)} candidates")
    probabilities(scores.array())
    make = _several if multi_label else _one
    return [functools.partial(make, dict(zip(candidates, row, strict=True))) for row in scores.rows()]


def _one(scores: dict[str, float], facts: Facts) -> ZeroShot:
    label = max(scores, key=scores.__getitem__)
    return ZeroShot(label=label, score=scores[label], scores=scores, **facts)


def _several(scores: dict[str, float], facts: Facts) -> ZeroShotLabels:
    return ZeroShotLabels(scores=scores, **facts)
