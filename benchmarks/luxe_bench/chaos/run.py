"""`luxe bench chaos`: three servers, callers, one kind of trouble after the other, then the verdict."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from luxe.console import console, progress, step
from luxe.errors import Rejected, UserError
from luxe.project import Project
from luxe.schema import Entry
from luxe_bench.chaos import known, picture, record, show
from luxe_bench.chaos.calls import Call
from luxe_bench.chaos.faults import FAULTS, Scene
from luxe_bench.chaos.figures import figures
from luxe_bench.chaos.fleet import SERVERS, Published, fleet
from luxe_bench.chaos.load import Load
from luxe_bench.chaos.verdict import judge
from luxe_bench.cost import copies
from luxe_bench.cost.record import facts
from luxe_bench.interrupt import ended_in_order
from luxe_training.data import load

__all__ = ["Plan", "bench"]

_SLACK = 4.0
"""How many times longer a run may last than planned, before its schedule of calls ends: servers take their time."""
_SLACK_S = 300.0
_TEXTS = 150
"""Of the model's test set: as many are told apart by their answers, and asked of each server in a moment."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a run does."""

    phases: Sequence[str]
    """Names of `FAULTS`; all when empty."""
    seconds: float
    """Of each phase, at least; it ends when all servers answer again."""
    calm_s: float
    """Before the first phase and after each."""
    rate: float
    """Calls a second."""
    timeout_s: float
    """Deadline of a call."""
    asyncio: bool
    """Use `AsyncClient`."""

    @property
    def wanted(self) -> list[str]:
        return [name for name in FAULTS if not self.phases or name in self.phases]

    @property
    def planned_s(self) -> float:
        return self.calm_s + len(self.wanted) * (self.seconds + self.calm_s)


def bench(project: Project, entry: Entry, plan: Plan, *, as_json: bool) -> dict[str, Any]:
    """Run the newest published version through it all, print and keep what was found; return ``chaos.json``'s content.

    Raises:
        UserError: the model cannot be measured, or a server does not come back.
        Rejected: a target was missed; the run is kept all the same.
    """
    if entry.task != "text-classification" or entry.problem_type != "single_label_classification" or entry.text_pairs:
        raise UserError(f"{entry.name}: `luxe bench chaos` calls models that give single texts one label")
    manifest = copies.newest(project, entry.name)
    texts = load(project.data(entry.name), "test", entry.labels).texts
    started, load_before = datetime.now(timezone.utc), os.getloadavg()[0]
    with ended_in_order(), tempfile.TemporaryDirectory(prefix="luxe-bench-") as scratch:
        published = Published(project, manifest, Path(scratch) / "project")
        scene, calls, end_s = _run(published, list(dict.fromkeys(texts))[:_TEXTS], plan, Path(scratch))
    found = figures(calls, scene.phases, scene.events, end_s=end_s)
    checks = judge(found)
    about = {
        **facts(manifest, started=started, load_before=load_before, texts=len(calls), seconds=end_s),
        "servers": SERVERS,
        "rate": plan.rate,
        "client": "AsyncClient" if plan.asyncio else "Client",
        "timeout_s": plan.timeout_s,
    }
    content = record.whole(about, found, checks, calls=calls, phases=scene.phases, events=scene.events)
    folder = project.bench_results / f"{entry.name}-chaos-{started:%Y%m%d-%H%M%S}"
    record.write(project.bench_results, folder, content, record.line(about, found, checks))
    picture.write(folder, calls, scene.phases, scene.events, [replica.address.grpc for replica in scene.replicas])
    if as_json:
        print(json.dumps(content, indent=1))
    else:
        show.show(found, checks, about)
    console.print(f"kept in {folder.relative_to(project.root)}", soft_wrap=True)
    missed = [check.name for check in checks if not check.met]
    if missed:
        raise Rejected(f"{entry.name} misses: {', '.join(missed)}")
    return content


def _run(published: Published, texts: list[str], plan: Plan, scratch: Path) -> tuple[Scene, list[Call], float]:
    """Return what was done, what became of every call, and how long it lasted."""
    step(f"{SERVERS} servers")
    with fleet(published, scratch) as replicas:
        addresses = [replica.address.grpc for replica in replicas]
        answers = known.ask(addresses, published.model, texts)
        most_s = _SLACK * plan.planned_s + _SLACK_S
        caller = Load(
            addresses,
            published.model,
            answers,
            rate=plan.rate,
            most_s=most_s,
            timeout_s=plan.timeout_s,
            asyncio=plan.asyncio,
            scratch=scratch,
        )
        with caller, progress() as bar:
            task = bar.add_task("calm", total=round(plan.planned_s))
            scene = Scene(replicas, published, caller.start())
            scene.look = lambda doing: bar.update(task, description=doing, completed=round(scene.now()))
            scene.sleep(plan.calm_s)
            for name in plan.wanted:
                step(f"{name}: {FAULTS[name][0]}")
                scene.run(name, plan.seconds)
                scene.sleep(plan.calm_s)
            end_s = scene.now()
            return scene, caller.stop(end_s), end_s
