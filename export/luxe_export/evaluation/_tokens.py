"""Rows to token ids, cut as the server cuts them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from luxe.errors import UserError
from luxe.schema import Entry
from luxe_export.evaluation._base import Row

__all__ = ["encode", "tokenize"]


def tokenize(entry: Entry, tokenizer: Any, rows: Sequence[Row]) -> list[dict[str, list[int]]]:
    """Return by row ``input_ids``, ``attention_mask`` and what else the tokenizer knows the model to take.

    A text is cut at its end; of two texts the longer one is cut, and with zero-shot-classification only the first,
    so that the hypothesis stays whole.

    Args:
        tokenizer: fast, of transformers.
    """
    batch = encode(entry, tokenizer, rows)
    names = [name for name in batch if name in tokenizer.model_input_names]
    return [{name: batch[name][i] for name in names} for i in range(len(rows))]


def encode(entry: Entry, tokenizer: Any, rows: Sequence[Row]) -> Any:
    """Return transformers' ``BatchEncoding`` of the rows, one or two texts each.

    Raises:
        UserError: a hypothesis of zero-shot-classification fills ``max_length``, so that its text has no room.
    """
    pairs = isinstance(rows[0], tuple)
    texts = [row[0] if pairs else row for row in rows]
    others = [row[1] for row in rows] if pairs else None
    cut = "only_first" if entry.task == "zero-shot-classification" else "longest_first"
    try:
        return tokenizer(texts, others, truncation=cut, max_length=entry.max_length)
    except Exception as error:
        # The tokenizers package raises a bare one where it should cut more than the first text has.
        if type(error) is not Exception or entry.task != "zero-shot-classification":
            raise
        label = max(entry.labels, key=lambda own: len(tokenizer(entry.hypothesis_template.format(own))["input_ids"]))
        raise UserError(
            f"catalog/{entry.name}.toml: the label {label!r} with hypothesis_template leaves no room for a text "
            f"within {entry.max_length} tokens (max_length)"
        ) from None
