"""What is kept of a run: ``chaos.json`` with every call, and in the history a line with the figures."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from luxe_bench.chaos.calls import Call, Event, Phase
from luxe_bench.chaos.figures import ALL, Figures
from luxe_bench.verdict import Check

__all__ = ["HISTORY", "line", "whole", "write"]

HISTORY = "chaos-history.jsonl"


def whole(
    about: Mapping[str, Any],
    found: Sequence[Figures],
    checks: Sequence[Check],
    *,
    calls: Sequence[Call],
    phases: Sequence[Phase],
    events: Sequence[Event],
) -> dict[str, Any]:
    """Return the content of ``chaos.json``."""
    return {
        **about,
        "passed": all(check.met for check in checks),
        "checks": [dataclasses.asdict(check) for check in checks],
        "figures": [dataclasses.asdict(one) for one in found],
        "phases": [dataclasses.asdict(phase) for phase in phases],
        "events": [dataclasses.asdict(event) for event in events],
        "calls": [dataclasses.asdict(call) for call in calls],
    }


def line(about: Mapping[str, Any], found: Sequence[Figures], checks: Sequence[Check]) -> dict[str, Any]:
    """Return a run in one line."""
    everything = next(one for one in found if one.name == ALL)
    missed = [check.name for check in checks if not check.met]
    p99_ms = {one.name: one.p99_ms for one in found}
    return {**about, "passed": not missed, "missed": missed, **dataclasses.asdict(everything), "p99_ms": p99_ms}


def write(results_folder: Path, run: Path, content: Mapping[str, Any], short: Mapping[str, Any]) -> None:
    """Write ``chaos.json`` into ``run`` and append a line to the history; folders are made."""
    run.mkdir(parents=True, exist_ok=True)
    (run / "chaos.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    with (results_folder / HISTORY).open("a", encoding="utf-8") as file:
        file.write(json.dumps(short) + "\n")
