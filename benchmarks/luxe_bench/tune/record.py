"""What is kept of a search: ``tune.json`` with everything, and in the history a line with what was decided."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from luxe_bench.tune.choice import Measured, ratio, ratios
from luxe_bench.tune.knobs import Knobs
from luxe_bench.tune.search import Found, Stage

__all__ = ["HISTORY", "line", "whole", "write"]

HISTORY = "tune-history.jsonl"


def whole(about: Mapping[str, Any], found: Found, changes: Mapping[str, int | None]) -> dict[str, Any]:
    """Return the content of ``tune.json``.

    Args:
        about: the facts of the run.
        changes: keys of `[serving]` that the winner has otherwise.
    """
    return {**line(about, found, changes), "stages": [_stage(stage) for stage in found.stages]}


def line(about: Mapping[str, Any], found: Found, changes: Mapping[str, int | None]) -> dict[str, Any]:
    """Return a run in one line."""
    last = found.stages[-1]
    gain = next((ratio(one, last.current) for one in last.measured if one.knobs == found.winner), None)
    return {
        **about,
        "start": _knobs(found.start),
        "winner": _knobs(found.winner),
        "gain": gain if found.winner != found.start else None,
        "changes": dict(changes),
    }


def write(results_folder: Path, run: Path, content: Mapping[str, Any], short: Mapping[str, Any]) -> None:
    """Write ``tune.json`` into ``run`` and append a line to the history; folders are made."""
    run.mkdir(parents=True, exist_ok=True)
    (run / "tune.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    with (results_folder / HISTORY).open("a", encoding="utf-8") as file:
        file.write(json.dumps(short) + "\n")


def _stage(stage: Stage) -> dict[str, Any]:
    listed = [_measured(one, stage.current) for one in stage.measured]
    return {"name": stage.name, "best": _knobs(stage.best), "measured": listed}


def _measured(one: Measured, current: Measured) -> dict[str, Any]:
    """Return a setting's figures; ``over_current`` is the median of the rounds' ratios."""
    return {
        "knobs": _knobs(one.knobs),
        "met": one.met,
        "per_s": one.per_s,
        "cpu_s_per_1000": one.cpu_s_per_1000,
        "over_current": ratio(one, current),
        "over_current_by_round": ratios(one, current),
        "unanswered": one.unanswered,
        "open": dataclasses.asdict(one.open),
        "checks": [dataclasses.asdict(check) for check in one.checks],
        "rounds": [dataclasses.asdict(each) for each in one.rounds],
    }


def _knobs(knobs: Knobs | None) -> dict[str, int] | None:
    return None if knobs is None else dataclasses.asdict(knobs)
