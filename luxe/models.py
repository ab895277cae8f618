"""`luxe models`: the catalogue, and how far along the line each model is."""

from __future__ import annotations

import contextlib
import dataclasses
import json

from luxe import catalog
from luxe.console import output, table
from luxe.errors import UserError
from luxe.project import Project
from luxe.repository import latest_manifest
from luxe.schema import Entry
from luxe_client import Client

__all__ = ["Status", "show", "statuses"]


@dataclasses.dataclass(frozen=True)
class Status:
    """One model of the catalogue; None where a step has not been done."""

    name: str
    task: str
    base: str | None
    precision: str | None
    metric: float | None
    """On the test set, of the published engine; else of the trained checkpoint."""
    metric_name: str | None
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
    rows = table("model", "task", "base", "precision", "metric", ">version", "served")
    for s in found:
        metric = "-" if s.metric is None else f"{s.metric:.3f} {s.metric_name}"
        rows.add_row(
            s.name,
            s.task,
            (s.base or "-").rpartition("/")[2],
            s.precision or "-",
            metric,
            str(s.version or "-"),
            "yes" if s.served else "no",
        )
    output.print(rows)


def _status(project: Project, entry: Entry, client: Client) -> Status:
    from luxe_training import checkpoint

    manifest = latest_manifest(project.repository, entry.name)
    metric, metric_name = None, None
    if manifest:
        winner = next(c["measurement"] for c in manifest["candidates"] if c["candidate"] == manifest["precision"])
        metric, metric_name = winner["metric"], winner["metric_name"]
    else:
        with contextlib.suppress(UserError, KeyError):
            metric = checkpoint.read(project.checkpoint(entry.name)).metrics["test"]["macro_f1"]
            metric_name = "macro-F1"
    return Status(
        name=entry.name,
        task=entry.task,
        base=entry.base.hub_id if entry.base else None,
        precision=manifest["precision"] if manifest else None,
        metric=metric,
        metric_name=metric_name,
        version=manifest["version"] if manifest else None,
        served=client.ready(entry.name),
    )
