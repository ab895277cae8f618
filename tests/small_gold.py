"""The lines of a small model's data: what it answered itself is the gold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from architectures import MAX_LENGTH
from numpy.typing import NDArray
from small_kinds import Kind

__all__ = ["gold"]


def _classified(kind: Kind, data: list[Any], raw: list[list[Any]], tokenizer: Any) -> list[dict[str, Any]]:
    texts = [{"text": d} if isinstance(d, str) else {"text": d[0], "text_pair": d[1]} for d in data]
    logits = np.stack([answers[0] for answers in raw])
    labels = kind.catalogue["labels"]
    problem = kind.catalogue.get("problem_type")
    if problem == "regression":
        return [t | {"label": float(row[0])} for t, row in zip(texts, logits, strict=True)]
    if problem == "multi_label_classification":
        names = [[name for name, x in zip(labels, row, strict=True) if x > 0] for row in logits]
        return [t | {"labels": n} for t, n in zip(texts, names, strict=True)]
    return [t | {"label": labels[i]} for t, i in zip(texts, _used(logits), strict=True)]


def _tagged(kind: Kind, data: list[str], raw: list[list[Any]], tokenizer: Any) -> list[dict[str, Any]]:
    """Entities by transformers' own pipeline, fed with the logits that are at hand."""
    from transformers.pipelines.token_classification import AggregationStrategy, TokenClassificationPipeline

    strategy = AggregationStrategy(kind.catalogue["aggregation_strategy"])
    pipeline = TokenClassificationPipeline.__new__(TokenClassificationPipeline)
    pipeline.tokenizer = tokenizer
    pipeline.model = _Named(dict(enumerate(kind.labels)))
    lines = []
    for text, (logits,) in zip(data, raw, strict=True):
        cut = tokenizer(
            text, truncation=True, max_length=MAX_LENGTH, return_offsets_mapping=True, return_special_tokens_mask=True
        )
        scores = np.exp(logits - logits.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        tokens = pipeline.gather_pre_entities(
            text,
            np.array(cut["input_ids"]),
            scores,
            cut["offset_mapping"],
            np.array(cut["special_tokens_mask"]),
            strategy,
            word_ids=cut.word_ids(),
        )
        found = [e for e in pipeline.aggregate(tokens, strategy) if e["entity_group"] != "O"]
        # Unigram tokenizers count the space before a word as its own; no annotator does.
        blanks = [len(piece) - len(piece.lstrip()) for piece in (text[e["start"] : e["end"]] for e in found)]
        entities = [
            {"start": int(e["start"]) + blank, "end": int(e["end"]), "label": e["entity_group"]}
            for e, blank in zip(found, blanks, strict=True)
        ]
        lines.append({"text": text, "entities": entities})
    return lines


class _Named:
    """As much of a model as the pipeline's aggregation asks for."""

    def __init__(self, names: dict[int, str]) -> None:
        self.config = self
        self.id2label = names


def _compared(kind: Kind, data: list[Any], raw: list[list[Any]], tokenizer: Any) -> list[dict[str, Any]]:
    def cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
        return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))

    return [{"text": a, "text_pair": b, "score": cosine(*raw[i])} for i, (a, b) in enumerate(data)]


def _inferred(kind: Kind, data: list[str], raw: list[list[Any]], tokenizer: Any) -> list[dict[str, Any]]:
    entailment = kind.labels.index("entailment")
    best = _used(np.array([[logits[entailment] for logits in answers] for answers in raw]))
    return [{"text": text, "label": kind.catalogue["labels"][i]} for text, i in zip(data, best, strict=True)]


def _ranked(kind: Kind, data: list[Any], raw: list[list[Any]], tokenizer: Any) -> list[dict[str, Any]]:
    """The best document of a query is worth 2, the second 1."""
    lines = []
    for (query, documents), answers in zip(data, raw, strict=True):
        places = np.argsort(np.argsort([-float(answer[0]) for answer in answers]))
        worth = [max(0, 2 - int(place)) for place in places]
        lines += [{"query": query, "document": d, "label": w} for d, w in zip(documents, worth, strict=True)]
    return lines


_GOLD: dict[str, Callable[[Kind, list[Any], list[list[Any]], Any], list[dict[str, Any]]]] = {
    "token-classification": _tagged,
    "feature-extraction": _compared,
    "zero-shot-classification": _inferred,
    "text-ranking": _ranked,
}


def gold(kind: Kind, data: list[Any], raw: list[list[Any]], tokenizer: Any) -> list[dict[str, Any]]:
    """Lines of a split. ``raw`` are the answers to the rows of each of ``data``."""
    return _GOLD.get(kind.task, _classified)(kind, data, raw, tokenizer)


def _used(scores: NDArray[np.float32]) -> list[int]:
    best = scores.argmax(axis=1).tolist()
    assert sorted(best.count(i) for i in range(scores.shape[1]))[-2] >= len(best) // 12, "labels must differ"
    return best
