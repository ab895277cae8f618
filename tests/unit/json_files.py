"""JSON files that a test changes, and data of one JSON value a line."""

import json

__all__ = ["change_json", "write_lines"]


def change_json(path, change):
    """Write a file anew after ``change`` was done to what it holds."""
    held = json.loads(path.read_text(encoding="utf-8"))
    change(held)
    path.write_text(json.dumps(held), encoding="utf-8")


def write_lines(path, rows):
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
