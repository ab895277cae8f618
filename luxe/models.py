"""`luxe models`: the catalogue, and how far along the line each model is."""

from __future__ import annotations

import dataclasses
import json

from luxe import catalog
from luxe.catalog import Entry
from luxe.console import output, table
from luxe.errors import UserError
from luxe.project import Project
from luxe_client import Client

__all__ = ["Status", "show", "statuses"]


@dataclasses.dataclass(frozen=True)
class Status:
    """One model of the catalogue; None where a step has not been done."""

    name: str
    task: str
    base: str | None
    precision: str | None
    test_macro_f1: float | None
    """Of the published engine, else of the trained checkpoint."""
    version: int | None
    served: bool


def statuses(project: Project, *, address: str) -> list[Status]:
    """Return the status of every model; ``address`` is asked whether it serves them."""
    with Client(address, timeout_s=2.0) as client:
        return [_status(project, entry, client) for entry in catalog.load_all(project)]


def show(project: Project, *, address: str, as_json: bool) -> None:
    """Print the statuses."""
    found = statuses(project, address=address)
    if as_json:
        print(json.dumps([dataclasses.asdict(s) for s in found], indent=2))
        return
    rows = table("model", "task", "base", "precision", ">macro-F1", ">version", "served")
    for s in found:
        f1 = "-" if s.test_macro_f1 is None else f"{s.test_macro_f1:.3f}"
        rows.add_row(
            s.name,
            s.task,
            (s.base or "-").rpartition("/")[2],
            s.precision or "-",
            f1,
            str(s.version or "-"),
            "yes" if s.served else "no",
        )
    output.print(rows)


def _status(project: Project, entry: Entry, client: Client) -> Status:
    from luxe_export.publish import latest_manifest
    from luxe_training import checkpoint

    manifest = latest_manifest(project.repository, entry.name)
    if manifest:
        winner = next(c for c in manifest["candidates"] if c["candidate"] == manifest["precision"])
        macro_f1 = winner["measurement"]["macro_f1"]
    else:
        try:
            macro_f1 = checkpoint.read(project.checkpoint(entry.name)).metrics["test"]["macro_f1"]
        except (UserError, KeyError):
            macro_f1 = None
    return Status(
        name=entry.name,
        task=entry.task,
        base=entry.base.hub_id if entry.base else None,
        precision=manifest["precision"] if manifest else None,
        test_macro_f1=macro_f1,
        version=manifest["version"] if manifest else None,
        served=client.ready(entry.name),
    )
