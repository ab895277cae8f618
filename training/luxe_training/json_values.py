"""JSON as it comes from outside: it may nest without end, hold half an emoji, or a number that no float can hold."""

from __future__ import annotations

import json
import math
from typing import Any

from luxe.errors import UserError

__all__ = ["number", "parse", "text"]


def parse(content: str | bytes) -> Any:
    """Return what JSON says.

    Raises:
        ValueError: it is none, or is nested too deeply to be read.
    """
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def text(where: str, row: dict[str, Any], key: str) -> str:
    """Return a row's text.

    Args:
        where: names the row's file and line.

    Raises:
        UserError: it is empty, no text, or one that no tokenizer takes.
    """
    value = row[key]
    if not isinstance(value, str) or not value.strip():
        raise UserError(f'{where}: "{key}" is empty or no text')
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:  # JSON can escape half of a surrogate pair
        half = f"\\u{ord(value[error.start]):04x}"
        raise UserError(f'{where}: "{key}" holds {half}, half of a character and no Unicode text') from None
    return value


def number(value: object) -> float | None:
    """Return a number of JSON as a float; None for anything else, for NaN, and for what is beyond a float."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # of an integer
        return None
