"""Classify a column of a CSV file, however long; when it is stopped, the next run goes on where it was.

    python score_csv.py comments.csv scored.csv --column text

The output is the input with four more columns, and is there only when it is whole. Until then answers are in
scored.csv.part, one line a row; a line that is only half there is not used. A row whose text is empty gets no answer.
"""

import argparse
import csv
import fcntl
import hashlib
import json
import os
import sys
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.progress import Progress

from luxe_client import Client, LuxeError

COLUMNS = ("label", "score", "needs_review", "version")


class Stop(Exception):
    """Ends the run; the message is one line for whoever started it."""


def rows(path: Path, column: str) -> Iterator[dict[str, str]]:
    """Read a CSV file, row by row.

    Raises:
        Stop: it is none, or a row is not one of it.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            names = reader.fieldnames or []
            if column not in names:
                raise Stop(f"{path} has no column {column!r}, but {', '.join(names) or 'none at all'}")
            if taken := set(COLUMNS) & set(names):
                raise Stop(f"{path} has a column {min(taken)!r} already")
            for row in reader:
                if None in row or None in row.values():
                    raise Stop(f"{path} line {reader.line_num}: not {len(names)} columns")
                yield row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Stop(f"{path}: {error}") from None


def identity(path: Path, model: str, column: str) -> dict[str, str]:
    """Return what the answers of a run belong to."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(2**20), b""):
            digest.update(block)
    return {"input": digest.hexdigest(), "model": model, "column": column}


def resume(part: IO[bytes], run: dict[str, str]) -> int:
    """Return how many rows ``part`` has answers to; cut off what comes after them, and begin it if it is empty.

    Raises:
        Stop: the answers belong to something else.
    """
    whole, count = 0, -1
    for line in part:
        try:
            said = json.loads(line)
        except ValueError:
            break
        if not line.endswith(b"\n"):
            break
        if count < 0 and said != run:
            raise Stop(f"{part.name} is of another input, model or column: remove it to begin anew")
        whole, count = whole + len(line), count + 1
    part.seek(whole)
    part.truncate()
    if count < 0:
        part.write(json.dumps(run).encode() + b"\n")
    return max(count, 0)


def score(client: Client, model: str, source: Iterator[str], part: IO[bytes]) -> Iterator[int]:
    """Write an answer to each text to ``part``; yields the number of rows that each step has written."""
    asked: deque[bool] = deque()

    def texts() -> Iterator[str]:
        for text in source:
            asked.append(bool(text.strip()))
            if asked[-1]:
                yield text

    def blanks() -> int:
        count = 0
        while asked and not asked[0]:
            part.write(b"null\n")
            asked.popleft()
            count += 1
        return count

    for answer in client.iter_classify(model, texts()):
        before = blanks()
        asked.popleft()
        line = {name: getattr(answer, name) for name in COLUMNS}
        part.write(json.dumps(line).encode() + b"\n")
        # A killed process loses nothing that it has handed to the system.
        part.flush()
        yield before + 1
    yield blanks()


def finish(given: Iterator[dict[str, str]], part: IO[bytes], target: Path) -> None:
    """Put rows and answers together: the target is there as a whole, or not at all."""
    part.seek(0)
    part.readline()
    whole = target.with_name(target.name + ".whole")
    with whole.open("w", newline="", encoding="utf-8") as file:
        writer: csv.DictWriter[str] | None = None
        for row, line in zip(given, part, strict=True):
            said: dict[str, Any] = json.loads(line) or dict.fromkeys(COLUMNS, "")
            if writer is None:
                writer = csv.DictWriter(file, [*row, *COLUMNS])
                writer.writeheader()
            writer.writerow({**row, **said})
        file.flush()
        os.fsync(file.fileno())
    whole.replace(target)


def run(source: Path, target: Path, *, column: str, model: str, targets: list[str]) -> int:
    """Score a file to its end; returns its number of rows.

    Raises:
        Stop: it cannot, or not now.
    """
    if target.exists():
        raise Stop(f"{target} is there already")
    total = sum(1 for _ in rows(source, column))
    if not total:
        raise Stop(f"{source} has no rows")
    path = target.with_name(target.name + ".part")
    with path.open("a+b") as part:
        try:
            fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Stop(f"another run is writing {path}") from None
        part.seek(0)
        own = identity(source, model, column)
        done = resume(part, own)
        bar = Progress(console=Console(stderr=True), disable=not sys.stderr.isatty())
        left = (row[column] for row in islice(rows(source, column), done, None))
        try:
            with Client(targets) as client, bar:
                task = bar.add_task(f"{done} rows are done already" if done else model, total=total, completed=done)
                for count in score(client, model, left, part):
                    done += count
                    bar.advance(task, count)
        except LuxeError as error:
            raise Stop(f"{done} of {total} rows are done, the next run goes on from there: {error}") from None
        if identity(source, model, column) != own:
            raise Stop(f"{source} was changed meanwhile")
        finish(rows(source, column), part, target)
    path.unlink()
    return total


def main() -> int:
    """The command; its exit status is 1 where it did not get to the end."""
    parser = argparse.ArgumentParser(description="Classify a column of a CSV file.")
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--column", default="text")
    parser.add_argument("--model", default="comment-intent")
    parser.add_argument("--target", nargs="+", default=["127.0.0.1:8001"], help="gRPC addresses of replicas")
    given = parser.parse_args()
    try:
        total = run(given.input, given.output, column=given.column, model=given.model, targets=given.target)
    except (Stop, OSError) as error:
        print(f"score_csv: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("score_csv: stopped; the next run goes on from there", file=sys.stderr)
        return 130
    print(f"{total} rows in {given.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
