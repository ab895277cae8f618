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
from luxe_client._wire.tensors import Facts, answers, split

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


def _read(found: dict[str, Any], count: int) -> list[Callable[[Facts], Answer]]:
    scores, review = found["scores"], found["needs_review"]
    width = scores.shape[1]
    if found["labels.shape"] != scores.shape or not width:
        raise ValueError(f"labels is {list(found['labels.shape'])}, scores {list(scores.shape)}")
    if review.shape != (count, 1):
        raise ValueError(f"needs_review is {list(review.shape)} for {count} texts")
    kind = _kind(found, count)
    names = _names(found["labels"], width)
    values = scores.tolist()
    _check(kind, values)
    makers = {_SINGLE: _classification, _MULTI: _labels, _REGRESSION: _score}
    rows = zip(names, values, review[:, 0].tolist(), strict=True)
    return [functools.partial(makers[kind], *row) for row in rows]


def _check(kind: str, rows: list[list[float]]) -> None:
    """Raise ValueError if scores are not what their kind says. Of a few numbers, lists are quicker than arrays."""
    if not all(math.isfinite(score) for row in rows for score in row):
        raise ValueError("scores are no numbers")
    # Sums and probabilities of FP32 may be off by their last bits.
    if kind != _REGRESSION and not all(min(row) >= -1e-3 and max(row) <= 1.001 for row in rows):
        raise ValueError("scores are no probabilities")
    if kind == _SINGLE and not all(abs(sum(row) - 1) <= 0.01 for row in rows):
        raise ValueError("the probabilities do not sum to 1, and the server does not say that they need not")


def _classification(names: tuple[str, ...], scores: list[float], review: bool, facts: Facts) -> Classification:
    best = max(scores)
    return Classification(
        label=names[scores.index(best)],
        score=best,
        scores=dict(zip(names, scores, strict=True)),
        needs_review=review,
        **facts,
    )


def _labels(names: tuple[str, ...], scores: list[float], review: bool, facts: Facts) -> Labels:
    return Labels(scores=dict(zip(names, scores, strict=True)), needs_review=review, **facts)


def _score(names: tuple[str, ...], scores: list[float], _review: bool, facts: Facts) -> Score:
    return Score(value=scores[0], values=dict(zip(names, scores, strict=True)), **facts)


def _kind(found: dict[str, Any], count: int) -> str:
    if "problem_type" not in found:
        return _SINGLE
    kinds = split(found["problem_type"])
    if found["problem_type.shape"] != (count, 1) or len(kinds) != count or len(set(kinds)) != 1:
        raise ValueError("problem_type is not one for every text")
    kind = kinds[0].decode()
    if kind not in (_SINGLE, _MULTI, _REGRESSION):
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
