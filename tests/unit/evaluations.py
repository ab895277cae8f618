"""Small test sets of every task, answers to them, and samples of their units."""

import types

import numpy as np
from json_files import write_lines
from tiny_text import tokenizer

from luxe.schema import Entry
from luxe_export.evaluation import load

__all__ = ["ENTITY_CLASSES", "WORDS", "entry", "evaluation", "probabilities", "samples", "source"]

SLO = {"requests_per_s": 1.0, "p50_ms": 1.0, "p95_ms": 1.0, "p99_ms": 1.0, "max_error_share": 0.0}
WORDS = ["anna", "lives", "in", "paris", "new", "york", "with", "this", "is", "a", "b", "c", "."]
ENTITY_CLASSES = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


def entry(task="text-classification", **keys):
    if "labels" not in keys and task in ("text-classification", "zero-shot-classification"):
        keys["labels"] = ("a", "b", "c")
    return Entry(name="tiny", description="", task=task, max_length=keys.pop("max_length", 16), slo=SLO, **keys)


def source(**keys):
    facts = {"entailment_id": 2, "contradiction_id": 0, "ranking_activation": "sigmoid"}
    return types.SimpleNamespace(tokenizer=tokenizer(WORDS), **{**facts, **keys})


def evaluation(folder, model, rows, **hints):
    write_lines(folder / "test.jsonl", rows)
    return load(model, folder, source(**hints))


def probabilities(*rows):
    return [np.array(row, dtype=np.float32) for row in rows]


def samples(units, seed=0):
    return np.random.default_rng(seed).integers(units, size=(20, units))
