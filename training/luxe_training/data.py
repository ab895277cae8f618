"""Data sets: ``data/NAME/{train,validation,test}.jsonl``, one ``{"text": …, "label": …}`` a line."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from luxe.errors import UserError
from luxe_training import json_values

__all__ = ["SPLITS", "Split", "load", "near_duplicates", "read"]

SPLITS = ("train", "validation", "test")


@dataclasses.dataclass(frozen=True)
class Split:
    """Texts with their labels, and the hash of the file they came from."""

    texts: tuple[str, ...]
    labels: tuple[int, ...]
    """Indices into the label list that `load` was given."""
    sha256: str

    def __len__(self) -> int:
        return len(self.texts)


def load(folder: Path, split: str, labels: Sequence[str]) -> Split:
    """Read one split.

    Raises:
        UserError: the file is missing or a line is not usable; names file and line.
    """
    index = {label: i for i, label in enumerate(labels)}
    texts, ids = [], []
    raw, rows = read(folder, split, ("text", "label"))
    for where, row in rows:
        text, label = json_values.text(where, row, "text"), row["label"]
        if not isinstance(label, str) or label not in index:
            raise UserError(f"{where}: label {label!r} is not one of the catalogue's {', '.join(labels)}")
        texts.append(text)
        ids.append(index[label])
    return Split(tuple(texts), tuple(ids), hashlib.sha256(raw).hexdigest())


def read(folder: Path, split: str, keys: Sequence[str]) -> tuple[bytes, list[tuple[str, dict[str, Any]]]]:
    """Read one split's lines as they are: return the file's bytes, and each row with the name of its file and line.

    Raises:
        UserError: the file is missing or empty, or a line is not a JSON object with these keys; names file and line.
    """
    path = folder / f"{split}.jsonl"
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UserError(f"no data: {path}: {error.strerror}") from None
    rows = []
    for number, line in enumerate(raw.splitlines(), start=1):
        where = f"{path.parent.name}/{path.name} line {number}"
        try:
            row = json_values.parse(line)
            for key in keys:
                row[key]
        except (ValueError, KeyError, TypeError) as error:
            shape = ", ".join(f'"{key}": …' for key in keys)
            raise UserError(f"{where}: not {{{shape}}}: {error!r}") from None
        rows.append((where, row))
    if not rows:
        raise UserError(f"no data: {path} is empty")
    return raw, rows


def near_duplicates(
    texts: Iterable[str], others: Iterable[str], *, n: int = 4, threshold: float = 0.5
) -> Iterator[tuple[float, str, str]]:
    """Yield ``(similarity, text, other)`` for pairs whose character n-grams overlap.

    Similarity is the Jaccard index |A ∩ B| / |A ∪ B| of the sets of n-grams, after case folding and with
    white space collapsed; 1 means the same text but for case and spaces.
    """
    reference = [(_grams(other, n), other) for other in others]
    for text in texts:
        grams = _grams(text, n)
        for other_grams, other in reference:
            common = len(grams & other_grams)
            similarity = common / (len(grams) + len(other_grams) - common)
            if similarity >= threshold:
                yield similarity, text, other


def _grams(text: str, n: int) -> frozenset[str]:
    folded = unicodedata.normalize("NFKC", text).casefold()
    padded = " " + re.sub(r"\s+", " ", folded).strip() + " "
    return frozenset(padded[i : i + n] for i in range(max(1, len(padded) - n + 1)))
