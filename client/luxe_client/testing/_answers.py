"""Scripts for each task: from a plain function of a text to the server's answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from luxe_client.testing._messages import add_output, bytes_tensor, response_to, texts_of

__all__ = ["classification", "embeddings", "entities", "ranking", "zero_shot"]

Answer = Callable[[Any], Any]
"""From a request to its response."""


def classification(
    scores: Mapping[str, float] | Callable[[str], Mapping[str, float]],
    needs_review: bool | Callable[[str], bool],
    problem_type: str,
    **every: Any,
) -> Answer:
    """Answer a text-classification; the scores of all texts must have the same labels."""

    def answer(request: Any) -> Any:
        texts = texts_of(request)
        rows = [dict(scores(text) if callable(scores) else scores) for text in texts]
        shape = [len(texts), len(rows[0])]
        response = response_to(request, version=every["version"])
        add_output(response, "scores", "FP32", shape, _floats([list(row.values()) for row in rows]))
        add_output(response, "labels", "BYTES", shape, bytes_tensor(label for row in rows for label in row))
        review = [needs_review(text) if callable(needs_review) else needs_review for text in texts]
        add_output(response, "needs_review", "BOOL", [len(texts), 1], bytes(review))
        if problem_type != "single_label_classification":
            add_output(response, "problem_type", "BYTES", [len(texts), 1], bytes_tensor([problem_type] * len(texts)))
        return _truncated(response, texts, **every)

    return answer


def entities(find: Callable[[str], Sequence[tuple[str, int, int, float]]], **every: Any) -> Answer:
    """Answer a token-classification."""

    def answer(request: Any) -> Any:
        texts = texts_of(request)
        found = [list(find(text)) for text in texts]
        most = max(map(len, found))
        rows = [row + [("", -1, -1, 0.0)] * (most - len(row)) for row in found]
        shape = [len(texts), most]
        response = response_to(request, version=every["version"])
        add_output(response, "labels", "BYTES", shape, bytes_tensor(e[0] for row in rows for e in row))
        add_output(response, "scores", "FP32", shape, _floats([[e[3] for e in row] for row in rows]))
        for name, at in (("starts", 1), ("ends", 2)):
            numbers = np.array([[e[at] for e in row] for row in rows], dtype="<i4")
            add_output(response, name, "INT32", shape, numbers.tobytes())
        return _truncated(response, texts, **every)

    return answer


def embeddings(vector: Callable[[str], Sequence[float]], **every: Any) -> Answer:
    """Answer a feature-extraction."""

    def answer(request: Any) -> Any:
        texts = texts_of(request)
        rows = [list(vector(text)) for text in texts]
        response = response_to(request, version=every["version"])
        add_output(response, "embeddings", "FP32", [len(texts), len(rows[0])], _floats(rows))
        return _truncated(response, texts, **every)

    return answer


def ranking(score: Callable[[str, str], float], **every: Any) -> Answer:
    """Answer a text-ranking."""

    def answer(request: Any) -> Any:
        queries, documents = texts_of(request), texts_of(request, "text_pair")
        rows = [[score(query, document)] for query, document in zip(queries, documents, strict=True)]
        response = response_to(request, version=every["version"])
        add_output(response, "scores", "FP32", [len(queries), 1], _floats(rows))
        return _truncated(response, queries, **every)

    return answer


def zero_shot(score: Callable[[str, str], float], **every: Any) -> Answer:
    """Answer a zero-shot-classification; unless each label is judged alone, the scores are made to sum to 1."""

    def answer(request: Any) -> Any:
        texts, labels = texts_of(request), texts_of(request, "candidate_labels")
        width = len(labels) // len(texts)
        table = np.array(
            [[score(t, label) for label in labels[i * width : (i + 1) * width]] for i, t in enumerate(texts)]
        )
        names = [tensor.name for tensor in request.inputs]
        if "multi_label" not in names or not any(request.raw_input_contents[names.index("multi_label")]):
            table = table / table.sum(axis=1, keepdims=True)
        response = response_to(request, version=every["version"])
        add_output(response, "scores", "FP32", [len(texts), width], _floats(table.tolist()))
        return _truncated(response, texts, **every)

    return answer


def _truncated(response: Any, texts: Sequence[str], *, version: str, longest: int) -> Any:
    add_output(response, "truncated", "BOOL", [len(texts), 1], bytes(len(text) > longest for text in texts))
    return response


def _floats(rows: Sequence[Sequence[float]]) -> bytes:
    return np.array(rows, dtype="<f4").tobytes()
