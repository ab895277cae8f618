"""What people see of an export: the ladder as a table, the report, and that nothing needs to be done."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luxe import repository, signing
from luxe.console import console, table
from luxe.project import Project
from luxe.schema import Entry

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from luxe_export.gate.choice import Verdict
    from luxe_export.gate.details import Details
    from luxe_export.gate.reference import Reference

__all__ = ["as_json", "published_with", "report", "verdicts"]


def published_with(
    store: Path, model: str, inputs: str, *, key: Ed25519PublicKey | None = None
) -> tuple[int, str] | None:
    """Say so, and return number and precision, if a version was made of the same inputs.

    After a rollback that version may be the one that was left; it is not published again unless by force. What is
    current but not signed with ``key`` is, and everything is where the newest version's manifest is spoilt.
    """
    made = repository.manifests(store, model)
    newest = max(repository.versions(store / model), default=0)
    if newest not in made:
        return None
    said = {version: manifest.model_extra or {} for version, manifest in made.items()}
    same = [version for version in made if said[version].get("inputs_sha256") == inputs]
    if not same:
        return None
    precision, shown = str(said[newest].get("precision")), made[newest].rollback_of or newest
    first = {made[version].rollback_of or version for version in same}
    if shown in first:
        if key is not None and not signing.signed(store / model / str(newest), key):
            return None
        console.print(f"{model} version {newest} ({precision}) is up to date", markup=False)
    elif made[newest].rollback_of and max(first) > shown:
        console.print(
            f"{model} version {newest} was rolled back to version {shown}, and nothing has changed since "
            f"version {same[-1]}; --force exports again"
        )
    else:
        return None
    return newest, precision


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
) -> str | None:
    """Write ``reports/NAME/<version>/`` (``refused`` when nothing was published) and return where.

    None, and a warning, where it cannot be written: it changes nothing in what was published or refused.
    """
    from luxe_export import report as reports

    shown = {
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
    }
    try:
        return str(reports.write(project.reports, shown).relative_to(project.root))
    except OSError as error:
        console.print(
            f"no report: {error.filename or project.reports}: {error.strerror or error}", markup=False, soft_wrap=True
        )
        return None
