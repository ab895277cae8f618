"""What people see of an export: the ladder as a table, the report, and that nothing needs to be done."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luxe import repository
from luxe.console import console, table
from luxe.project import Project
from luxe.schema import Entry

if TYPE_CHECKING:
    from luxe_export.gate.choice import Verdict
    from luxe_export.gate.details import Details
    from luxe_export.gate.reference import Reference

__all__ = ["as_json", "published_with", "report", "verdicts"]


def published_with(store: Path, model: str, inputs: str) -> tuple[int, str] | None:
    """Say so, and return number and precision, if a version was made of the same inputs.

    After a rollback that version may be the one that was left; it is not published again unless by force.
    """
    made = repository.manifests(store, model)
    same = [m for m in made if m.get("inputs_sha256") == inputs]
    if not same:
        return None
    current = made[-1]
    shown = current.get("rollback_of") or current["version"]
    first = {m.get("rollback_of") or m["version"] for m in same}
    if shown in first:
        console.print(f"{model} version {current['version']} ({current['precision']}) is up to date")
    elif current.get("rollback_of") and max(first) > shown:
        console.print(
            f"{model} version {current['version']} was rolled back to version {shown}, and nothing has changed since "
            f"version {same[-1]['version']}; --force exports again"
        )
    else:
        return None
    return current["version"], current["precision"]


def as_json(facts: Mapping[str, Any], *, reused: bool = False, report: str | None = None) -> None:
    """Print what an export came to; ``report`` is the page's path within the project."""
    print(json.dumps({**facts, "reused": reused, "report": report}, indent=2, ensure_ascii=False))


def verdicts(found: Sequence[Verdict]) -> None:
    """Print the ladder."""
    metric = next((v.measurement.metric_name for v in found if v.measurement), "metric")
    rows = table(
        "candidate", f">{metric}", ">drop", ">agreement", ">Δ", ">Δ in batch", ">ms/text", ">× fp32", ">MB", "verdict"
    )
    for v in found:
        m, t = v.measurement, v.latency
        numbers = ["-"] * 5
        if m is not None:
            numbers = [f"{x:.4f}" for x in (m.metric, m.metric_drop, m.agreement, m.change, m.batch_change)]
        numbers.append("-" if t is None else f"{t.ms_per_text:.2f}")
        numbers.append("-" if t is None or t.ratio is None else f"{t.ratio:.2f}")
        numbers.append("-" if m is None else f"{m.file_bytes / 1e6:.1f}")
        rows.add_row(v.candidate, *numbers, "[green]passes[/]" if v.passes else "[red]fails[/]")
    console.print(rows)


def report(
    project: Project,
    entry: Entry,
    version: int | None,
    facts: Mapping[str, Any],
    reference: Reference,
    details: Mapping[str, Details],
    about: Mapping[str, str],
    began: float,
) -> str:
    """Write ``reports/NAME/<version>/`` (``refused`` when nothing was published) and return where."""
    from luxe_export import report as reports

    page = reports.write(
        project.reports,
        {
            "model": entry.name,
            "labels": list(entry.labels),
            "version": version,
            "task": entry.task,
            "target": facts["target"],
            "metric_name": reference.evaluation.metric,
            "pytorch": {"metric": reference.score, "calibration_error": reference.calibration_error},
            "texts": len(reference.tokens),
            "quality": entry.quality.model_dump(),
            "candidates": facts["candidates"],
            "winner": facts["precision"],
            "explain": facts["explain"],
            "details": {name: found.to_json() for name, found in details.items()},
            "cpu": facts["measured_on"],
            "tools": facts["tools"],
            "seconds": round(time.monotonic() - began, 1),
            "about": dict(about),
        },
    )
    return str(page.relative_to(project.root))
