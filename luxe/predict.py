"""`luxe predict`: texts from the command line or standard input, answers as a table or as JSON lines."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence

from rich.markup import escape

from luxe.console import output, progress, table
from luxe.errors import UserError
from luxe_client import Answer, Classification, Client, Labels, Score

__all__ = ["answers_table", "predict"]

_BATCH = 32


def predict(name: str, texts: Sequence[str] | None, *, address: str, as_json: bool, timeout_s: float) -> None:
    """Classify ``texts``, or the lines of standard input, and print the answers in order."""
    texts = _read_stdin() if texts is None else texts
    answers: list[Answer] = []
    with Client(address, timeout_s=timeout_s) as client, progress() as bar:
        task = bar.add_task(name, total=len(texts), visible=len(texts) > _BATCH)
        for start in range(0, len(texts), _BATCH):
            batch = client.classify(name, list(texts[start : start + _BATCH]), expect=Answer)
            if as_json:
                for text, answer in zip(texts[start:], batch, strict=False):
                    print(json.dumps({"text": text, **dataclasses.asdict(answer)}, ensure_ascii=False))
            answers += batch
            bar.advance(task, len(batch))
    if not as_json:
        output.print(answers_table(texts, answers))


def answers_table(texts: Sequence[str], answers: Sequence[Answer]) -> object:
    """Return one row a text."""
    rows = table("label", ">score", "review", "text")
    for text, answer in zip(texts, answers, strict=True):
        review = "[yellow]needs review[/]" if getattr(answer, "needs_review", False) else ""
        rows.add_row(*_said(answer), review, escape(text))
    return rows


def _said(answer: Answer) -> tuple[str, str]:
    """Return the label or labels with their probability, or a regression's number."""
    if isinstance(answer, Classification):
        return answer.label, f"{answer.score:.2f}"
    if isinstance(answer, Labels):
        held = answer.above()
        return ", ".join(held) or "-", ", ".join(f"{answer.scores[label]:.2f}" for label in held)
    assert isinstance(answer, Score)
    return "-", ", ".join(f"{value:.2f}" for value in answer.values.values())


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
