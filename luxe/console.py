"""What people see: one console, tables that align, progress for anything over two seconds.

What was asked for goes to standard output, everything else to standard error.
"""

from __future__ import annotations

import sys

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

__all__ = ["console", "fail", "output", "progress", "step", "table"]

_FILE_WIDTH = 120


def _console(stderr: bool) -> Console:
    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    return Console(highlight=False, stderr=stderr, width=None if terminal else _FILE_WIDTH)


console = _console(stderr=True)
"""Progress, notes and errors."""

output = _console(stderr=False)
"""What was asked for."""


def progress() -> Progress:
    """Return a progress bar for a known number of things."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,  # else it ends with an empty line
    )


def step(text: str) -> None:
    """Say what begins now."""
    console.print(f"[bold cyan]▸[/] {text}")


def fail(text: str) -> None:
    """Say in one line what went wrong."""
    sys.stderr.write(f"luxe: {' '.join(text.split())}\n")


def table(*columns: str, title: str | None = None) -> Table:
    """Return an empty table; a column whose name starts with ``>`` is aligned to the right."""
    result = Table(
        title=title, title_justify="left", header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0)
    )
    for column in columns:
        result.add_column(column.removeprefix(">"), justify="right" if column.startswith(">") else "left")
    return result
