"""text-classification. For N texts and L labels:

in   text          BYTES [N, 1]
in   text_pair     BYTES [N, 1]   of models of pairs
out  scores        FP32  [N, L]   probabilities; numbers of a regression
out  labels        BYTES [N, L]   names of the columns of ``scores``
out  needs_review  BOOL  [N, 1]
out  problem_type  BYTES [N, 1]   as transformers calls it; absent: single_label_classification
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from luxe_client._types import Answer, Classification, Labels, Score
from luxe_client._wire.tensors import Facts, Tensor, answers, split

__all__ = ["classifications"]

_WANTED = {"scores": "FP32", "labels": "BYTES", "needs_review": "BOOL", "problem_type": "BYTES"}
_SINGLE = "single_label_classification"
_MULTI = "multi_label_classification"
_REGRESSION = "regression"


def classifications(request: Any, response: Any, *, address: str) -> list[Any]:
    """Return one `Classification`, `Labels` or `Score` a text, in order, as the model is.

    Raises:
        ProtocolError: the response is not an answer to this request.
    """
    return answers(request, response, address=address, what="text-classification", wanted=_WANTED, read=_read)


def _read(found: dict[str, Tensor], count: int) -> list[Callable[[Facts], Answer]]:
    scores, labels, review = found["scores"], found["labels"], found["needs_review"]
    width = scores.shape[1]
    if labels.shape != scores.shape or not width:
        raise ValueError(f"labels is {list(labels.shape)}, scores {list(scores.shape)}")
    if review.shape != (count, 1):
        raise ValueError(f"needs_review is {list(review.shape)} for {count} texts")
    kind = _kind(found.get("problem_type"), count)
    names = _names(labels.content, width)
    rows = scores.rows()
    _check(kind, rows)
    make = _MAKERS[kind]
    return [functools.partial(make, *row) for row in zip(names, rows, review.rows(), strict=True)]


def _check(kind: str, rows: list[tuple[float, ...]]) -> None:
    """Raise ValueError if scores are not what their kind says."""
    for row in rows:
        total = sum(row)
        if not math.isfinite(total):  # no sum of FP32 is infinite by itself
            raise ValueError("scores are no numbers")
        # Sums and probabilities of FP32 may be off by their last bits.
        if kind != _REGRESSION and (min(row) < -1e-3 or max(row) > 1.001):
            raise ValueError("scores are no probabilities")
        if kind == _SINGLE and abs(total - 1) > 0.01:
            raise ValueError("the probabilities do not sum to 1, and the server does not say that they need not")


def _classification(
    names: tuple[str, ...], scores: tuple[float, ...], review: tuple[bool], facts: Facts
) -> Classification:
    best = max(scores)
    return Classification(
        label=names[scores.index(best)],
        score=best,
        scores=dict(zip(names, scores, strict=True)),
        needs_review=review[0],
        **facts,
    )


def _labels(names: tuple[str, ...], scores: tuple[float, ...], review: tuple[bool], facts: Facts) -> Labels:
    return Labels(scores=dict(zip(names, scores, strict=True)), needs_review=review[0], **facts)


def _score(names: tuple[str, ...], scores: tuple[float, ...], _review: tuple[bool], facts: Facts) -> Score:
    return Score(value=scores[0], values=dict(zip(names, scores, strict=True)), **facts)


_MAKERS: dict[str, Callable[..., Answer]] = {_SINGLE: _classification, _MULTI: _labels, _REGRESSION: _score}


def _kind(problem_type: Tensor | None, count: int) -> str:
    if problem_type is None:
        return _SINGLE
    kinds = split(problem_type.content)
    if problem_type.shape != (count, 1) or len(kinds) != count or len(set(kinds)) != 1:
        raise ValueError("problem_type is not one for every text")
    kind = kinds[0].decode()
    if kind not in _MAKERS:
        raise ValueError(f"problem_type is {kind!r}")
    return kind


@functools.lru_cache(maxsize=64)
def _names(content: bytes, width: int) -> list[tuple[str, ...]]:
    """Return the names of each row; a model sends the same ones again and again."""
    flat = [name.decode() for name in split(content)]
    if len(flat) % width:
        raise ValueError(f"{len(flat)} labels in rows of {width}")
    rows = [tuple(flat[i : i + width]) for i in range(0, len(flat), width)]
    if any(len(set(row)) != width for row in rows):
        raise ValueError("labels repeat")
    return rows
