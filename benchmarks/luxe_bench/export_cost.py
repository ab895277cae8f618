"""`luxe bench export`: what an export of a model as large as DistilBERT-base takes, in time and in memory."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from luxe import repository
from luxe.console import console, output, progress, step, table
from luxe.errors import Rejected, UserError
from luxe.machine import cpu_model
from luxe.project import Project
from luxe_bench import processes, standard_model
from luxe_bench.standard_model import DISTILBERT_BASE, Size
from luxe_bench.verdict import Check

__all__ = ["HISTORY", "MAX_PEAK_BYTES", "MAX_SECONDS", "Phase", "Result", "bench", "judge"]

HISTORY = "export-history.jsonl"
MAX_SECONDS = 240.0
MAX_PEAK_BYTES = 6e9
_CORES = 2
_STEP = "▸ "
"""Begins each line in which `luxe.console.step` says what it does now."""


@dataclasses.dataclass
class Phase:
    """What an export did between two of its own lines."""

    name: str
    wall_s: float
    cpu_s: float
    peak_bytes: int


@dataclasses.dataclass(frozen=True)
class Result:
    """One export, measured."""

    passed: bool
    checks: list[Check]
    cost: processes.Cost
    phases: list[Phase]
    candidates: dict[str, bool]
    """Whether everything was measured of it."""


def bench(project: Project, *, as_json: bool, size: Size = DISTILBERT_BASE) -> Result:
    """Export a model of `standard_model` on two cores, print what it took and append it to the history.

    Raises:
        UserError: the export failed.
        Rejected: it took too long or too much, or left a candidate out; the history has it all the same.
    """
    load_before = os.getloadavg()[0]  # before this has loaded the machine itself
    with tempfile.TemporaryDirectory(prefix="luxe-bench-") as scratch:
        root = Path(scratch) / "project"
        step(f"making a model of {size.layers} layers of {size.width} and {size.texts} test texts")
        with console.status("random weights, and what they say of the texts"):
            standard_model.write(root, size)
        step("luxe export, in a process of its own")
        cost, phases = _export(root, Path(scratch) / "export.log")
        candidates = _measured(Project(root))
    result = judge(cost, phases, candidates)
    facts = _facts(size, load_before)
    history = project.bench_results / HISTORY
    history.parent.mkdir(parents=True, exist_ok=True)
    whole = {**facts, **dataclasses.asdict(result)}
    with history.open("a", encoding="utf-8") as file:
        file.write(json.dumps(whole) + "\n")
    if as_json:
        print(json.dumps(whole, indent=2))
    else:
        _show(result, facts)
    if not result.passed:
        raise Rejected(f"luxe export misses: {', '.join(c.name for c in result.checks if not c.met)}")
    return result


def judge(cost: processes.Cost, phases: Sequence[Phase], candidates: Mapping[str, bool]) -> Result:
    """Hold what an export took against 4 minutes and 6 GB; each default candidate must have been measured in full."""
    from luxe_export import ladder

    wanted = [recipe.name for recipe in ladder.recipes("cpu")]
    done = sum(candidates.get(name, False) for name in wanted)
    checks = [
        Check("seconds", cost.wall_s, "<=", MAX_SECONDS, cost.wall_s <= MAX_SECONDS),
        Check("peak GB", cost.peak_bytes / 1e9, "<=", MAX_PEAK_BYTES / 1e9, cost.peak_bytes <= MAX_PEAK_BYTES),
        Check("candidates", done, ">=", len(wanted), done >= len(wanted)),
    ]
    return Result(all(check.met for check in checks), checks, cost, list(phases), dict(candidates))


def _export(root: Path, log: Path) -> tuple[processes.Cost, list[Phase]]:
    command = [sys.executable, "-c", "from luxe.cli import main; main()", "export", standard_model.NAME]
    phases = [Phase("start", 0.0, 0.0, 0)]
    began = processes.Now(0.0, 0.0, 0)
    log.touch()
    with progress() as bar, log.open(encoding="utf-8", errors="replace") as said:
        task = bar.add_task("luxe export", total=round(MAX_SECONDS))

        def look(now: processes.Now) -> None:
            nonlocal began
            for line in said.readlines():
                if line.startswith(_STEP):
                    phases.append(Phase(line.removeprefix(_STEP).strip(), 0.0, 0.0, 0))
                    began = now
                    bar.update(task, description=phases[-1].name)
            phase = phases[-1]
            phase.wall_s, phase.cpu_s = now.wall_s - began.wall_s, now.cpu_s - began.cpu_s
            phase.peak_bytes = max(phase.peak_bytes, now.resident_bytes)
            bar.update(task, completed=round(now.wall_s))

        cores = sorted(os.sched_getaffinity(0))[:_CORES]
        cost = processes.run([*command, "--root", str(root)], log=log, cores=cores, look=look)
    if cost.status != 0:
        last = (log.read_text(errors="replace").strip().splitlines() or ["no output"])[-1]
        raise UserError(f"luxe export ended with status {cost.status}: {last}")
    return cost, phases


def _measured(project: Project) -> dict[str, bool]:
    """Return by candidate whether all of its numbers are there, as the published manifest has them."""
    manifest = repository.latest_manifest(project.repository, standard_model.NAME)
    assert manifest is not None
    return {
        one["candidate"]: bool(one["measurement"] and one["latency"] and one["measurement"]["stopped"] is None)
        for one in manifest["candidates"]
    }


def _facts(size: Size, load_before: float) -> dict[str, Any]:
    cores = min(_CORES, len(os.sched_getaffinity(0)))
    return {
        "time": f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC",
        "cpu": f"{cores} cores of {cpu_model()}",
        "load_before": round(load_before, 2),
        "load_after": round(os.getloadavg()[0], 2),
        **dataclasses.asdict(size),
    }


def _show(result: Result, facts: Mapping[str, Any]) -> None:
    rows = table("", ">s", ">CPU s", ">peak GB", "")
    for phase in result.phases:
        rows.add_row(phase.name, f"{phase.wall_s:.1f}", f"{phase.cpu_s:.1f}", f"{phase.peak_bytes / 1e9:.2f}", "")
    cost = result.cost
    rows.add_row("all", f"{cost.wall_s:.1f}", f"{cost.cpu_s:.1f}", f"{cost.peak_bytes / 1e9:.2f}", "")
    output.print(rows)
    for check in result.checks:
        mark = "[green]met[/]" if check.met else "[red]missed[/]"
        output.print(f"{check.name} {check.measured:.4g} {check.relation} {check.target:.4g} {mark}")
    word = "[bold green]PASS[/]" if result.passed else "[bold red]FAIL[/]"
    output.print(f"on {facts['cpu']}; load before {facts['load_before']}, after {facts['load_after']}: {word}")
