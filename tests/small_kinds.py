"""The kinds of small models: tasks and problems, and the catalogue entry of each."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from architectures import MAX_LENGTH

__all__ = ["KINDS", "Kind", "catalogue"]

_COLOURS = ("red", "green", "blue")


@dataclasses.dataclass(frozen=True)
class Kind:
    """A task, or one of text-classification's problems."""

    task: str
    model: str
    """transformers' class for it."""
    labels: tuple[str, ...] = ()
    """Of the checkpoint; none for an encoder."""
    catalogue: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Keys of the catalogue file, without those that all have."""
    config: dict[str, Any] = dataclasses.field(default_factory=dict)


_SEQUENCE = "AutoModelForSequenceClassification"
KINDS: dict[str, Kind] = {
    "single-label": Kind("text-classification", _SEQUENCE, _COLOURS, {"labels": _COLOURS, "review_threshold": 0.5}),
    "multi-label": Kind(
        "text-classification",
        _SEQUENCE,
        _COLOURS,
        {"labels": _COLOURS, "problem_type": "multi_label_classification", "review_threshold": 0.5},
        {"problem_type": "multi_label_classification"},
    ),
    "regression": Kind(
        "text-classification",
        _SEQUENCE,
        ("LABEL_0",),
        {"labels": ("warmth",), "problem_type": "regression"},
        {"problem_type": "regression"},
    ),
    "pairs": Kind("text-classification", _SEQUENCE, _COLOURS, {"labels": _COLOURS, "text_pairs": True}),
    "token-classification": Kind(
        "token-classification",
        "AutoModelForTokenClassification",
        ("O", "B-COLOUR", "I-COLOUR", "B-PLACE", "I-PLACE"),
        {"labels": ("O", "B-COLOUR", "I-COLOUR", "B-PLACE", "I-PLACE"), "aggregation_strategy": "simple"},
    ),
    "feature-extraction": Kind("feature-extraction", "AutoModel", catalogue={"pooling": "mean", "normalize": True}),
    "zero-shot-classification": Kind(
        "zero-shot-classification",
        _SEQUENCE,
        ("contradiction", "neutral", "entailment"),
        {"labels": ("bal ken", "mun sox", "tir dal kon"), "hypothesis_template": "kal {} ter"},
    ),
    "text-ranking": Kind("text-ranking", _SEQUENCE, ("LABEL_0",)),
}


def catalogue(kind: Kind) -> str:
    """The catalogue file."""
    keys = {"description": "Made-up words, for a test", "task": kind.task, "max_length": MAX_LENGTH, **kind.catalogue}
    lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
    return "\n".join([*lines, _TABLES])


_TABLES = """
[quality]
max_metric_drop = 0.5
min_agreement = 0.5
max_change = 10.0
max_batch_change = 0.0001

[serving]
max_batch_size = 32
max_micro_batch = 8
max_padding_share = 0.9
max_text_bytes = 4096
max_queue = 64
engine_instances = 1
intra_op_threads = 1
cache_bytes = 0

[slo]
requests_per_s = 10
p50_ms = 1000
p95_ms = 1000
p99_ms = 1000
max_error_share = 0.0
"""
