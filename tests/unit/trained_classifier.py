"""A small classifier that is really trained, and the texts that it is trained and asked with."""

import numpy as np
from json_files import write_lines

from luxe.schema import Entry, Quality
from luxe_export import evaluation
from luxe_export.gate.reference import reference

__all__ = ["ENTRY", "QUALITY", "TEXTS", "Original", "asked", "examples"]

LABELS = ("north", "east", "south", "west")
HINTS = {label: [f"{label}{i}" for i in range(6)] for label in LABELS}
NOISE = [f"word{i}" for i in range(40)]
ENTRY = Entry(
    name="tiny",
    description="",
    task="text-classification",
    labels=LABELS,
    max_length=48,
    slo={"requests_per_s": 1.0, "p50_ms": 1.0, "p95_ms": 1.0, "p99_ms": 1.0, "max_error_share": 0.0},
)
QUALITY = Quality(min_metric=0.55)
TEXTS = 240


def _example(chance):
    """A text that hints at one label once more often than at another, among other words; every sixth label is wrong.

    To count, a model needs its attention, and a close call shows what little was lost of it.
    """
    label, other, third = chance.choice(4, size=3, replace=False)
    often = chance.integers(1, 3)
    words = [chance.choice(HINTS[LABELS[x]]) for x in [label] * (often + 1) + [other] * often + [third]]
    words += chance.choice(NOISE, size=chance.integers(0, 16)).tolist()
    chance.shuffle(words)
    return " ".join(words), LABELS[chance.integers(4) if chance.random() < 1 / 6 else label]


def examples(chance, count):
    return [dict(zip(("text", "label"), _example(chance), strict=True)) for _ in range(count)]


class Original:
    """As a `luxe_export.checkpoint.source.Source`."""

    ranking_activation = "sigmoid"
    entailment_id = contradiction_id = None

    def __init__(self):
        import torch
        from tiny_text import tokenizer
        from transformers import BertConfig, BertForSequenceClassification

        torch.manual_seed(0)
        self.tokenizer = tokenizer([*(w for words in HINTS.values() for w in words), *NOISE])
        config = BertConfig(
            vocab_size=len(self.tokenizer),
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=128,
            max_position_embeddings=64,
            num_labels=4,
            initializer_range=0.15,  # its layers do something from the start
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            attn_implementation="eager",
        )
        self.model = BertForSequenceClassification(config)
        self.entry = ENTRY
        self.config = config
        self._train()

    def _train(self):
        import torch

        chance = np.random.default_rng(0)
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3)
        for _ in range(240):
            texts, labels = zip(*(_example(chance) for _ in range(48)), strict=True)
            batch = self.tokenizer(list(texts), padding=True, return_tensors="pt")
            loss = self.model(**batch, labels=torch.tensor([LABELS.index(x) for x in labels])).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        self.model.eval()

    def answer(self, tokens):
        import torch

        with torch.inference_mode():
            return self.model(**{name: torch.tensor([ids]) for name, ids in tokens.items()}).logits[0].numpy()


def asked(original, folder, rows):
    """PyTorch's answers to rows."""
    write_lines(folder / "test.jsonl", rows)
    return reference(ENTRY, original, evaluation.load(ENTRY, folder, original), lambda: None)
