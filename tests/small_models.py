"""Small models as an engineer brings them: a checkpoint, its catalogue entry, and data whose gold is its own answers.

The head is scaled so that answers are spread over the labels, well apart: that a candidate agrees then means something,
and what 8 bits lose is far less than what tells the labels apart.
"""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from architectures import ARCHITECTURES, MAX_LENGTH, WORDS, initialise
from numpy.typing import NDArray

__all__ = ["KINDS", "Brought", "Kind", "Row", "bring", "build"]

Row = str | tuple[str, str]
_COLOURS = ("red", "green", "blue")
_SPREAD = 3.0
"""Standard deviation of every logit over the data."""
_MARGIN = 1.5


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


@dataclasses.dataclass(frozen=True)
class Brought:
    """What was written, and what PyTorch says of it."""

    name: str
    kind: Kind
    folder: Path
    """The checkpoint's."""
    rows: list[Row]
    """Of ``test.jsonl``, as the engine gets them: a ranking's documents each with its query, zero-shot's texts each
    with every hypothesis, similar texts one after the other."""
    raw: list[NDArray[np.float32]]
    """PyTorch's answer to each row alone: logits [L] or [T, L], or the pooled embedding [D]."""


def build(architecture: str, kind: Kind) -> tuple[Any, Any]:
    """Return a model and its tokenizer, the head scaled for the rows of `_rows`."""
    import torch
    import transformers

    tokenizer = ARCHITECTURES[architecture].tokenizer()
    names = {"id2label": dict(enumerate(kind.labels)), "label2id": {label: i for i, label in enumerate(kind.labels)}}
    config = ARCHITECTURES[architecture].config(
        vocab_size=len(tokenizer), **(names if kind.labels else {}), **kind.config
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch, when transformers imports DeBERTa
        model = getattr(transformers, kind.model).from_config(config).eval()
    zero_shot = kind.task == "zero-shot-classification"
    initialise(model, gain=1.5 if zero_shot else 1.0)  # else one hypothesis would fit every text
    if kind.labels:
        rows = [row for data in _data(kind, seed=1, count=40) for row in _rows(kind, data)]
        logits = np.concatenate([a.reshape(-1, len(kind.labels)) for a in _answers(kind, model, tokenizer, rows)])
        scale = torch.from_numpy(_SPREAD / logits.std(axis=0))
        heads = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m.out_features == len(kind.labels)]
        with torch.no_grad():
            heads[-1].weight.mul_(scale[:, None])
            heads[-1].bias.sub_(torch.from_numpy(logits.mean(axis=0))).mul_(scale)
    return model, tokenizer


def bring(root: Path, architecture: str, kind: str | Kind, name: str, *, tests: int = 60, trains: int = 60) -> Brought:
    """Write ``checkpoints/NAME/``, ``catalog/NAME.toml`` and ``data/NAME/{train,test}.jsonl`` under ``root``."""
    kind = KINDS[kind] if isinstance(kind, str) else kind
    model, tokenizer = build(architecture, kind)
    folder = root / "checkpoints" / name
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (root / "catalog").mkdir(parents=True, exist_ok=True)
    (root / "catalog" / f"{name}.toml").write_text(_catalogue(kind), encoding="utf-8")
    data = root / "data" / name
    data.mkdir(parents=True, exist_ok=True)
    for split, count, seed in (("train", trains, 2), ("test", tests, 3)):
        made, rows, raw = _chosen(kind, model, tokenizer, seed, count)
        gold = _GOLD.get(kind.task, _classified)(kind, made, raw, tokenizer)
        lines = [json.dumps(line) for line in gold]
        (data / f"{split}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    flat = [row for group in rows for row in group]
    return Brought(name, kind, folder, flat, [answer for group in raw for answer in group])


def _chosen(kind: Kind, model: Any, tokenizer: Any, seed: int, count: int) -> tuple[list[Any], list[Any], list[Any]]:
    """Data of which PyTorch is sure, their rows and its answers."""
    made, rows, raw = [], [], []
    few = max(1, count // 5) if kind.task == "text-ranking" else count
    for datum in _data(kind, seed=seed, count=5 * few):
        asked = _rows(kind, datum)
        answers = _answers(kind, model, tokenizer, asked)
        if _sure(kind, answers):
            made.append(datum)
            rows.append(asked)
            raw.append(answers)
        if len(made) == few:
            return made, rows, raw
    raise AssertionError(f"the model is sure of {len(made)} of {5 * few}")


def _sure(kind: Kind, answers: list[NDArray[np.float32]]) -> bool:
    """No other label is near, by a multiple of what 8 bits may move a logit."""
    if kind.catalogue.get("problem_type") == "multi_label_classification":
        return bool(np.abs(answers[0]).min() > _MARGIN / 2)
    margin = _MARGIN
    if kind.task == "zero-shot-classification":
        margin /= 3  # the same text in each, so the answers are nearer
        compared = np.array([answer[kind.labels.index("entailment")] for answer in answers])
    elif kind.task == "text-classification" and "problem_type" not in kind.catalogue:
        compared = answers[0]
    else:
        return True
    second, first = np.sort(compared)[-2:]
    return bool(first - second > margin)


def _words(random: np.random.Generator, least: int, most: int) -> str:
    return " ".join(random.choice(WORDS, random.integers(least, most)))


def _data(kind: Kind, *, seed: int, count: int) -> list[Any]:
    """Texts, pairs of them, or (query, documents): of one word to more than the model reads."""
    random = np.random.default_rng(seed)
    if kind.task == "text-ranking":
        return [(_words(random, 1, 6), [_words(random, 2, 60) for _ in range(5)]) for _ in range(count)]
    if kind.catalogue.get("text_pairs") or kind.task == "feature-extraction":
        return [(_words(random, 1, 40), _words(random, 1, 40)) for _ in range(count)]
    most = 12 if kind.task == "zero-shot-classification" else 60
    return [_words(random, 1, most) for _ in range(count)]


def _rows(kind: Kind, datum: Any) -> list[Row]:
    if kind.task == "text-ranking":
        return [(datum[0], document) for document in datum[1]]
    if kind.task == "zero-shot-classification":
        template = kind.catalogue["hypothesis_template"]
        return [(datum, template.format(label)) for label in kind.catalogue["labels"]]
    return list(datum) if kind.task == "feature-extraction" else [datum]


def _tokens(kind: Kind, tokenizer: Any, row: Row) -> Any:
    cut = "only_first" if kind.task == "zero-shot-classification" else "longest_first"
    texts = (row,) if isinstance(row, str) else row
    return tokenizer(*texts, truncation=cut, max_length=MAX_LENGTH, return_tensors="pt")


def _answers(kind: Kind, model: Any, tokenizer: Any, rows: Sequence[Row]) -> list[NDArray[np.float32]]:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # for models this small, more threads only wait for each other

    def answer(row: Row) -> NDArray[np.float32]:
        output = model(**_tokens(kind, tokenizer, row))
        if kind.task != "feature-extraction":
            return output.logits[0].numpy()
        pooled = output.last_hidden_state[0]  # no padding here, so a mean needs no mask
        pooled = pooled.mean(dim=0) if kind.catalogue["pooling"] == "mean" else pooled[0]
        return (pooled / pooled.norm() if kind.catalogue["normalize"] else pooled).numpy()

    try:
        with torch.inference_mode():
            return [answer(row) for row in rows]
    finally:
        torch.set_num_threads(threads)


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


def _used(scores: NDArray[np.float32]) -> list[int]:
    best = scores.argmax(axis=1).tolist()
    assert sorted(best.count(i) for i in range(scores.shape[1]))[-2] >= len(best) // 12, "labels must differ"
    return best


def _catalogue(kind: Kind) -> str:
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

[slo]
requests_per_s = 10
p50_ms = 1000
p95_ms = 1000
p99_ms = 1000
max_error_share = 0.0
"""
