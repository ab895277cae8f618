"""``data/NAME/test.jsonl`` as the evaluation of its task; `docs/export.md` shows a line of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from luxe.errors import UserError
from luxe.schema import Entry
from luxe_export.evaluation._base import Evaluation, Row
from luxe_export.evaluation._entities import Entities, Span, entity_labels
from luxe_export.evaluation._labels import MultiLabel, SingleLabel, ZeroShot
from luxe_export.evaluation._numbers import Embeddings, Ranking, Regression
from luxe_export.evaluation._tokens import encode
from luxe_training import data, json_values
from luxe_training.json_values import text

__all__ = ["Hints", "load"]

Lines = Sequence[tuple[str, dict[str, Any]]]
"""Each row with the name of its file and line."""


class Hints(Protocol):
    """What only the checkpoint knows; `luxe_export.checkpoint.source.Source` has it."""

    @property
    def tokenizer(self) -> Any: ...
    @property
    def entailment_id(self) -> int | None: ...
    @property
    def contradiction_id(self) -> int | None: ...
    @property
    def ranking_activation(self) -> str: ...


def load(entry: Entry, folder: Path, source: Hints) -> Evaluation:
    """Read the test split of a model's data as its task has it.

    Raises:
        UserError: the file is missing or a line is not usable; names file, line and what would be right.
    """
    kind = entry.problem_type if entry.task == "text-classification" else entry.task
    keys, build = _KINDS[kind]
    if entry.text_pairs:
        keys = ("text", "text_pair", *keys[1:])
    _, lines = data.read(folder, "test", keys)
    return build(entry, lines, source)


def _single_label(entry: Entry, lines: Lines, source: Hints) -> Evaluation:
    truth = [_label(where, row["label"], entry.labels) for where, row in lines]
    return SingleLabel(_rows(entry, lines), truth, entry.labels)


def _multi_label(entry: Entry, lines: Lines, source: Hints) -> Evaluation:
    truth = np.zeros((len(lines), len(entry.labels)), dtype=bool)
    for i, (where, row) in enumerate(lines):
        if not isinstance(row["labels"], list):
            raise UserError(f'{where}: "labels" must be a list of names, not {row["labels"]!r}')
        truth[i, [_label(where, label, entry.labels) for label in row["labels"]]] = True
    if not truth.any():
        raise UserError(f"{_file(lines)}: no text has a label; macro-F1 needs some")
    return MultiLabel(_rows(entry, lines), truth, entry.labels)


def _regression(entry: Entry, lines: Lines, source: Hints) -> Evaluation:
    truth = []
    many = len(entry.labels)
    for where, row in lines:
        numbers = row["label"] if isinstance(row["label"], list) else [row["label"]]
        if len(numbers) != many:
            raise UserError(f'{where}: "label" must be {many} number(s), one for each of the catalogue\'s labels')
        truth.append([_number(where, "label", number) for number in numbers])
    values = np.array(truth)
    _must_vary(lines, "label", values)
    return Regression(_rows(entry, lines), values)


def _token_classification(entry: Entry, lines: Lines, source: Hints) -> Evaluation:
    names = entity_labels(entry.labels)
    texts = [text(where, row, "text") for where, row in lines]
    truth = [frozenset(_spans(where, row, names)) for where, row in lines]
    if not any(truth):
        raise UserError(f"{_file(lines)}: no text has an entity; entity F1 needs some")
    tokenizer = source.tokenizer
    encodings = encode(entry, tokenizer, texts).encodings
    return Entities(
        texts,
        truth,
        encodings,
        tokenizer.backend_tokenizer,
        labels=entry.labels,
        strategy=entry.aggregation_strategy,
    )


def _feature_extraction(entry: Entry, lines: Lines, source: Hints) -> Evaluation:
    texts = [text(where, row, key) for where, row in lines for key in ("text", "text_pair")]
    scores = np.array([_number(where, "score", row["score"]) for where, row in lines])
    _must_vary(lines, "score", scores[:, None])
    return Embeddings(texts, scores)


def _zero_shot(entry: Entry, lines: Lines, source: Hints) -> Evaluation:
    if source.entailment_id is None or source.contradiction_id is None:
        raise UserError(
            f"{entry.name}: the checkpoint does not say which of its labels are entailment and contradiction"
        )
    return ZeroShot(
        [text(where, row, "text") for where, row in lines],
        [_label(where, row["label"], entry.labels) for where, row in lines],
        entry.labels,
        template=entry.hypothesis_template,
        entailment_id=source.entailment_id,
        contradiction_id=source.contradiction_id,
    )


def _text_ranking(entry: Entry, lines: Lines, source: Hints) -> Evaluation:
    rows = [(text(where, row, "query"), text(where, row, "document")) for where, row in lines]
    gains = [_number(where, "label", row["label"]) for where, row in lines]
    for (where, _), gain in zip(lines, gains, strict=True):
        if gain < 0:
            raise UserError(f'{where}: "label" says how relevant the document is, 0 or more, not {gain:g}')
    known: dict[str, set[float]] = {}
    for (query, _), gain in zip(rows, gains, strict=True):
        known.setdefault(query, set()).add(gain)
    if all(len(values) < 2 for values in known.values()):
        raise UserError(f"{_file(lines)}: no query has a better and a worse document; NDCG needs some")
    return Ranking(rows, np.array(gains), probabilities=source.ranking_activation == "sigmoid")


_KINDS: dict[str, tuple[tuple[str, ...], Callable[[Entry, Lines, Hints], Evaluation]]] = {
    "single_label_classification": (("text", "label"), _single_label),
    "multi_label_classification": (("text", "labels"), _multi_label),
    "regression": (("text", "label"), _regression),
    "token-classification": (("text", "entities"), _token_classification),
    "feature-extraction": (("text", "text_pair", "score"), _feature_extraction),
    "zero-shot-classification": (("text", "label"), _zero_shot),
    "text-ranking": (("query", "document", "label"), _text_ranking),
}


def _rows(entry: Entry, lines: Lines) -> list[Row]:
    if entry.text_pairs:
        return [(text(where, row, "text"), text(where, row, "text_pair")) for where, row in lines]
    return [text(where, row, "text") for where, row in lines]


def _label(where: str, label: object, labels: Sequence[str]) -> int:
    if not isinstance(label, str) or label not in labels:
        raise UserError(f"{where}: label {label!r} is not one of the catalogue's {', '.join(labels)}")
    return labels.index(label)


def _number(where: str, key: str, value: object) -> float:
    number = json_values.number(value)
    if number is None:
        raise UserError(f'{where}: "{key}" must be a number, not {value!r:.40}')
    return number


def _spans(where: str, row: dict[str, Any], names: Sequence[str]) -> list[Span]:
    if not isinstance(row["entities"], list):
        raise UserError(f'{where}: "entities" must be a list, not {row["entities"]!r}')
    spans = []
    for entity in row["entities"]:
        try:
            start, end, label = entity["start"], entity["end"], entity["label"]
        except (KeyError, TypeError) as error:
            raise UserError(f'{where}: an entity is not {{"start": …, "end": …, "label": …}}: {error!r}') from None
        whole = all(isinstance(x, int) and not isinstance(x, bool) for x in (start, end))
        if not whole or not 0 <= start < end <= len(row["text"]):
            raise UserError(
                f"{where}: an entity must lie in the text's {len(row['text'])} characters, not {start}:{end}"
            )
        if label not in names:
            raise UserError(f"{where}: entity label {label!r} is not one of the catalogue's {', '.join(names)}")
        spans.append((start, end, label))
    return spans


def _must_vary(lines: Lines, key: str, values: NDArray[np.float64]) -> None:
    if (values.min(axis=0) == values.max(axis=0)).any():
        raise UserError(f'{_file(lines)}: every "{key}" is the same; a rank correlation needs different ones')


def _file(lines: Lines) -> str:
    return lines[0][0].rpartition(" line ")[0]
