"""Small models as an engineer brings them: a checkpoint, its catalogue entry, and data whose gold is its own answers.

The head is scaled so that answers are spread over the labels, well apart: that a candidate agrees then means something,
and what 8 bits lose is far less than what tells the labels apart.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from architectures import ARCHITECTURES, MAX_LENGTH, WORDS, initialise
from numpy.typing import NDArray
from small_gold import gold
from small_kinds import KINDS, Kind, catalogue

__all__ = ["Brought", "Row", "bring", "build", "one_thread"]

Row = str | tuple[str, str]
_SPREAD = 3.0
"""Standard deviation of every logit over the data."""
_MARGIN = 1.5


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
    (root / "catalog" / f"{name}.toml").write_text(catalogue(kind), encoding="utf-8")
    data = root / "data" / name
    data.mkdir(parents=True, exist_ok=True)
    for split, count, seed in (("train", trains, 2), ("test", tests, 3)):
        made, rows, raw = _chosen(kind, model, tokenizer, seed, count)
        lines = [json.dumps(line) for line in gold(kind, made, raw, tokenizer)]
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

    def answer(row: Row) -> NDArray[np.float32]:
        output = model(**_tokens(kind, tokenizer, row))
        if kind.task != "feature-extraction":
            return output.logits[0].numpy()
        pooled = output.last_hidden_state[0]  # no padding here, so a mean needs no mask
        pooled = pooled.mean(dim=0) if kind.catalogue["pooling"] == "mean" else pooled[0]
        return (pooled / pooled.norm() if kind.catalogue["normalize"] else pooled).numpy()

    with one_thread(), torch.inference_mode():
        return [answer(row) for row in rows]


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch on one core: for models this small, more threads only wait for each other."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
