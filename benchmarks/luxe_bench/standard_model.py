"""A project to measure an export with: a DistilBERT-base of random weights and texts that it has an opinion on.

Everything is made here from seeds, nothing is downloaded. What an export costs depends on the model's size and on the
texts' lengths, not on what was learned. Words belong to topics, and the head tells them apart, so that answers are as
certain as those of a trained model and "the same answer" means something.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["DISTILBERT_BASE", "LABELS", "NAME", "Size", "texts", "word_counts", "words", "write"]

NAME = "standard"
LABELS = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta")
_SEED = 20
_SHORTEST, _LONGEST = 3, 80
_MEDIAN, _SPREAD = 15, 0.75
"""Of a text's words: log-normal."""
_ON_TOPIC, _SPLIT = 0.7, 0.2
"""Shares of words that belong to the text's topic, and that take two tokens, as 1.2 to 1.3 do in English."""
_TOPIC = 4.0
"""How far the words of a topic stand from the others, in the spread of all words."""
_MARGIN = 6.0
"""Median distance of the likeliest label's logit to the next."""
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_SYLLABLES = ["".join(pair) for pair in itertools.product("bcdfghjklmnpqrstvwxz", "aeiou")]
_BATCH = 32

_CATALOGUE = """description = "Random weights, to measure what an export costs"
task = "text-classification"
labels = {labels}
max_length = {max_length}

[quality]
# No change is over 1, so no candidate is stopped early: everything is measured of each.
max_change = 1.0

[slo]
requests_per_s = 50
p50_ms = 100
p95_ms = 250
p99_ms = 500
max_error_share = 0.005
"""


@dataclasses.dataclass(frozen=True)
class Size:
    """A DistilBERT, and how many texts it is measured with."""

    vocabulary: int
    width: int
    layers: int
    heads: int
    inner: int
    max_length: int
    texts: int
    """In the test split, and as many in the training split."""


DISTILBERT_BASE = Size(
    vocabulary=30_522, width=768, layers=6, heads=12, inner=3072, max_length=128, texts=500
)  # 66 million weights


def words(vocabulary: int) -> list[str]:
    """Return the whole words of a vocabulary of that size: two syllables or three."""
    room = vocabulary - len(_SPECIAL) - len(_SYLLABLES) - 2 * len(_LETTERS)
    if room < 2 * (len(LABELS) + 1):
        raise ValueError(f"a vocabulary of {vocabulary} has no room for words")
    made = itertools.chain(itertools.product(_SYLLABLES, repeat=2), itertools.product(_SYLLABLES, repeat=3))
    return ["".join(parts) for parts in itertools.islice(made, room)]


def texts(count: int, known: Sequence[str], *, seed: int) -> list[str]:
    """Return texts of 3 to 80 words, log-normal with a median of 15; words are frequent as by Zipf's law."""
    chance = np.random.default_rng(seed)
    pools = [known[i :: len(LABELS) + 1] for i in range(len(LABELS) + 1)]
    shares = [1 / np.arange(1, len(pool) + 1) for pool in pools]
    shares = [share / share.sum() for share in shares]
    whole = set(known)
    made = []
    for length in word_counts(count, chance):
        topic = int(chance.integers(1, len(pools)))
        text = []
        for _ in range(length):
            own = topic if chance.random() < _ON_TOPIC else 0
            word = pools[own][chance.choice(len(pools[own]), p=shares[own])]
            if chance.random() < _SPLIT:
                while word in whole:  # a word with a syllable more may be one of the vocabulary too
                    word += str(chance.choice(_SYLLABLES))
            text.append(word)
        made.append(" ".join(text))
    return made


def word_counts(count: int, chance: np.random.Generator) -> NDArray[np.int64]:
    """Return the words of each of ``count`` comments: 3 to 80, log-normal with a median of 15."""
    drawn = np.round(chance.lognormal(np.log(_MEDIAN), _SPREAD, count))
    counts: NDArray[np.int64] = np.clip(drawn, _SHORTEST, _LONGEST).astype(np.int64)
    return counts


def write(root: Path, size: Size) -> None:
    """Write ``root`` as a luxe project with one model, `NAME`: catalogue, checkpoint and data."""
    known = words(size.vocabulary)
    tokenizer = _tokenizer(size, known)
    train, test = (texts(size.texts, known, seed=_SEED + i) for i in range(2))
    model, answers = _model(size, known, tokenizer, train)
    splits = {
        "train": (train, answers),
        "test": (test, _logits(model, tokenizer, test, size.max_length).argmax(axis=1)),
    }
    checkpoint, data = root / "checkpoints" / NAME, root / "data" / NAME
    for folder in (root / "catalog", checkpoint, data):
        folder.mkdir(parents=True)
    model.save_pretrained(checkpoint)
    tokenizer.save_pretrained(checkpoint)
    for split, (own, answers) in splits.items():
        lines = [json.dumps({"text": text, "label": LABELS[i]}) for text, i in zip(own, answers, strict=True)]
        (data / f"{split}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    catalogue = _CATALOGUE.format(labels=json.dumps(LABELS), max_length=size.max_length)
    (root / "catalog" / f"{NAME}.toml").write_text(catalogue, encoding="utf-8")


def _tokenizer(size: Size, known: Sequence[str]) -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import DistilBertTokenizerFast

    pieces = [*_SPECIAL, *_LETTERS, *(f"##{x}" for x in (*_LETTERS, *_SYLLABLES)), *known]
    raw = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    raw.normalizer = normalizers.BertNormalizer()
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    raw.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return DistilBertTokenizerFast(tokenizer_object=raw, model_max_length=size.max_length)


def _model(size: Size, known: Sequence[str], tokenizer: Any, examples: Sequence[str]) -> tuple[Any, NDArray[np.int64]]:
    """Return the model and its answers [N] to the examples, which its head is scaled on."""
    import torch
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    config = DistilBertConfig(
        vocab_size=size.vocabulary,
        dim=size.width,
        n_layers=size.layers,
        n_heads=size.heads,
        hidden_dim=size.inner,
        max_position_embeddings=max(512, size.max_length),
        id2label=dict(enumerate(LABELS)),
        label2id={label: i for i, label in enumerate(LABELS)},
    )
    torch.manual_seed(_SEED)
    model = DistilBertForSequenceClassification(config).eval()
    with torch.no_grad():
        table = model.distilbert.embeddings.word_embeddings.weight
        directions = torch.randn(len(LABELS), size.width) * (_TOPIC * config.initializer_range)
        of_word = tokenizer.convert_tokens_to_ids(list(known))
        for topic, direction in enumerate(directions, start=1):
            table[of_word[topic :: len(LABELS) + 1]] += direction
        logits = _logits(model, tokenizer, examples, size.max_length)
        middle = logits.mean(axis=0)
        spread = np.sort(logits - middle, axis=1)
        scale = _MARGIN / np.median(spread[:, -1] - spread[:, -2])
        head = model.classifier
        head.weight *= float(scale)
        head.bias.copy_((head.bias - torch.from_numpy(middle)) * float(scale))
    return model, (logits - middle).argmax(axis=1)


def _logits(model: Any, tokenizer: Any, own: Sequence[str], max_length: int) -> NDArray[np.float32]:
    """Return the model's logits [N, L], in batches of like length."""
    import torch

    order = np.argsort([len(text) for text in own], kind="stable")
    found = np.zeros((len(own), len(LABELS)), np.float32)
    with torch.inference_mode():
        for start in range(0, len(order), _BATCH):
            some = order[start : start + _BATCH]
            tokens = tokenizer(
                [own[i] for i in some], padding=True, truncation=True, max_length=max_length, return_tensors="pt"
            )
            found[some] = model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]).logits.numpy()
    return found
