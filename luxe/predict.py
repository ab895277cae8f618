"""`luxe predict`: texts from the command line or standard input, answers as a table or as JSON lines."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence

from rich.markup import escape

from luxe.console import output, progress, table
from luxe.errors import UserError
from luxe_client import Classification, Client

__all__ = ["answers_table", "predict"]

_BATCH = 32


def predict(name: str, texts: Sequence[str] | None, *, address: str, as_json: bool, timeout_s: float) -> None:
    """Classify ``texts``, or the lines of standard input, and print the answers in order."""
    texts = _read_stdin() if texts is None else texts
    answers: list[Classification] = []
    with Client(address, timeout_s=timeout_s) as client, progress() as bar:
        task = bar.add_task(name, total=len(texts), visible=len(texts) > _BATCH)
        for start in range(0, len(texts), _BATCH):
            batch = client.classify(name, list(texts[start : start + _BATCH]))
            if as_json:
                for text, answer in zip(texts[start:], batch, strict=False):
                    print(json.dumps({"text": text, **dataclasses.asdict(answer)}, ensure_ascii=False))
            answers += batch
            bar.advance(task, len(batch))
    if not as_json:
        output.print(answers_table(texts, answers))


def answers_table(texts: Sequence[str], answers: Sequence[Classification]) -> object:
    """Return one row a text."""
    rows = table("label", ">score", "review", "text")
    for text, answer in zip(texts, answers, strict=True):
        review = "[yellow]needs review[/]" if answer.needs_review else ""
        rows.add_row(answer.label, f"{answer.score:.2f}", review, escape(text))
    return rows


def _read_stdin() -> list[str]:
    lines = sys.stdin.buffer.read().splitlines()
    if not lines:
        raise UserError("no text: give one as an argument, or one a line on standard input")
    texts = []
    for number, line in enumerate(lines, start=1):
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise UserError(f"standard input line {number} is not UTF-8 (byte {error.start})") from None
        if not text.strip():
            raise UserError(f"standard input line {number} is empty")
        texts.append(text)
    return texts
