"""`luxe tune`: the search, what is kept of it, and the winner's place in the catalogue."""

from __future__ import annotations

import importlib.util
import json
import os
import tempfile
from collections.abc import Collection, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from luxe.console import console
from luxe.errors import Rejected, UserError
from luxe.manifest import Manifest
from luxe.project import Project
from luxe.schema import Entry, Serving
from luxe_bench.cost import copies
from luxe_bench.cost import record as cost_record
from luxe_bench.cost.reference import Reference
from luxe_bench.cost.rig import Rig
from luxe_bench.cost.statistics import median
from luxe_bench.cost.workload import Texts
from luxe_bench.interrupt import ended_in_order
from luxe_bench.tune import knobs, picture, record, show, write
from luxe_bench.tune.knobs import Knobs
from luxe_bench.tune.search import Found, search
from luxe_bench.tune.trial import Trial, open_seconds
from luxe_serving import cores as counted
from luxe_training.data import load

__all__ = ["tune"]

_WARM_UP_TEXTS = 64
"""Before every load; the rig takes no more than its own number of texts."""


def tune(
    project: Project,
    name: str,
    *,
    texts: int,
    rounds: int,
    seconds: float | None = None,
    only: Collection[str] = (),
    dry_run: bool = False,
    as_json: bool = False,
) -> dict[str, Any]:
    """Search the settings of a model, print and keep what was found, and write the winner into the catalogue.

    Args:
        texts: of a round, for each setting.
        rounds: of a comparison.
        seconds: of an open loop at the `[slo]`'s rate; see `luxe_bench.tune.trial.open_seconds` when None.
        only: these of `luxe_bench.tune.knobs.COORDINATES`; all when empty.
        dry_run: leave the catalogue as it is.

    Returns:
        The content of ``tune.json``.

    Raises:
        UserError: the model cannot be measured, a process failed, or somebody changed the catalogue meanwhile.
        Rejected: no setting keeps the `[slo]`, or answers were wrong; the run is kept, and the catalogue as it was.
    """
    before, entry = write.read(project, name)
    manifest = _check(project, entry)
    cores = counted.granted()
    started, load_before = datetime.now(timezone.utc), os.getloadavg()[0]
    with ended_in_order(), tempfile.TemporaryDirectory(prefix="luxe-tune-") as scratch:
        rig = _rig(project, entry, manifest, Path(scratch), seconds or open_seconds(entry.slo))

        def serving(one: Knobs) -> Serving:
            return knobs.to_serving(entry.serving, one, cores)

        with rig.reference:
            measure = Trial(rig, serving, rounds, texts)
            start, most = knobs.of(entry.serving, cores), entry.serving.max_batch_size
            found = search(start, cores, most, measure, only=only or knobs.COORDINATES)
    changes = knobs.changes(entry.serving, serving(found.winner)) if found.winner and not rig.wrong else {}
    facts = {
        **cost_record.facts(manifest, started=started, load_before=load_before, texts=texts, seconds=rig.seconds),
        "rounds": rounds,
        "granted_cores": cores,
        "slo": entry.slo.model_dump(),
        "checked": rig.checked,
        "wrong": rig.wrong,
        "others_share": {"median": median(measure.others), "most": max(measure.others)},
        "dry_run": dry_run,
    }
    folder = project.bench_results / f"{name}-tune-{started:%Y%m%d-%H%M%S}"
    content = _keep(project, entry, folder, facts, found, changes)
    if as_json:
        print(json.dumps(content, indent=2))
    else:
        show.show(found, facts)
    console.print(f"kept in {folder.relative_to(project.root)}", soft_wrap=True)
    _judge(entry, rig, found)
    if changes and not dry_run:
        write.write(project, entry, before, changes)
    _say(entry, changes, dry_run)
    return content


def _check(project: Project, entry: Entry) -> Manifest:
    """Return the manifest of the version to be measured."""
    if entry.task != "text-classification" or entry.problem_type != "single_label_classification" or entry.text_pairs:
        raise UserError(f"{entry.name}: `luxe tune` measures models that give single texts one label")
    if importlib.util.find_spec("tomlkit") is None:
        raise UserError("no tomlkit to write the catalogue with: install it with `pip install 'luxe[bench]'`")
    manifest = copies.newest(project, entry.name)
    target = (manifest.model_extra or {}).get("target", "cpu")
    if target != "cpu":
        raise UserError(f"{entry.name} is published for {target}: `luxe tune` shares a CPU's cores among engines")
    return manifest


def _rig(project: Project, entry: Entry, manifest: Manifest, scratch: Path, seconds: float) -> Rig:
    sources = [
        text for split in ("train", "test") for text in load(project.data(entry.name), split, entry.labels).texts
    ]
    text, engine = (project.repository / one / str(manifest.version) for one in manifest.entries)
    reference = Reference(text, engine, scratch)
    return Rig(entry, project.repository, manifest, scratch, Texts(sources), reference, _WARM_UP_TEXTS, seconds)


def _keep(
    project: Project,
    entry: Entry,
    folder: Path,
    facts: Mapping[str, Any],
    found: Found,
    changes: Mapping[str, int | None],
) -> dict[str, Any]:
    content = record.whole(facts, found, changes)
    record.write(project.bench_results, folder, content, record.line(facts, found, changes))
    slo = entry.slo
    picture.write(found, folder, model=entry.name, p99_ms=slo.p99_ms, requests_per_s=slo.requests_per_s)
    return content


def _judge(entry: Entry, rig: Rig, found: Found) -> None:
    if rig.wrong:
        raise Rejected(f"{entry.name}: {rig.wrong} of {rig.checked} answers were wrong; nothing is written")
    if found.winner is None:
        raise Rejected(f"{entry.name}: no setting meets the [slo]; nothing is written")


def _say(entry: Entry, changes: Mapping[str, int | None], dry_run: bool) -> None:
    where = f"catalog/{entry.name}.toml"
    if not changes:
        console.print(f"{where} stays as it is", soft_wrap=True)
        return
    listed = ", ".join(f"{key} left out" if value is None else f"{key} = {value}" for key, value in changes.items())
    if dry_run:
        console.print(f"{where} stays as it is (--dry-run); the winner: {listed}", soft_wrap=True)
    else:
        console.print(f"[green]wrote[/] {where}: {listed}; `luxe export {entry.name}` publishes it", soft_wrap=True)
