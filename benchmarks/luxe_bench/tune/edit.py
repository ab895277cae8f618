"""A catalogue file with other values in `[serving]`, and every comment, blank line and order as they were.

A key that the file has keeps its place and its comment, also where the new value is the default. One that the file
lacks is added at the end of the table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["edit"]

_TABLE = "serving"


def edit(text: str, changes: Mapping[str, int | None]) -> str:
    """Return a catalogue file's text with changes of `[serving]`; None takes a key out.

    Args:
        text: valid TOML.
    """
    import tomlkit

    document = tomlkit.parse(text)
    if _TABLE not in document:
        document[_TABLE] = tomlkit.table()
    table: Any = document[_TABLE]
    for key, value in changes.items():
        if value is None:
            table.pop(key, None)
        elif key in table:
            table[key] = value
        else:
            _append(table, key, value)
    written = tomlkit.dumps(document)
    # What tomlkit adds ends with \n alone.
    return re.sub(r"\r?\n", "\r\n", written) if _only_crlf(text) else written


def _append(table: Any, key: str, value: int) -> None:
    """Add a key after the table's last one: the comments behind that belong to what follows."""
    body = table.value.body
    behind: list[Any] = []
    while body and body[-1][0] is None:
        behind.insert(0, body.pop())
    table.append(key, value)
    body.extend(behind)


def _only_crlf(text: str) -> bool:
    return "\r\n" in text and not re.search(r"(?<!\r)\n", text)
