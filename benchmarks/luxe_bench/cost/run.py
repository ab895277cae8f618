"""`luxe bench cost`: the parts in turn, then the verdict and what is kept of it."""

from __future__ import annotations

import importlib.util
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from luxe.console import console, fail, step
from luxe.errors import Rejected, UserError
from luxe.manifest import engine_name
from luxe.project import Project
from luxe.schema import Entry
from luxe_bench.cost import copies, picture, record, show
from luxe_bench.cost.parts.cache import cache
from luxe_bench.cost.parts.latency import latency
from luxe_bench.cost.parts.memory import memory
from luxe_bench.cost.parts.neighbours import neighbours
from luxe_bench.cost.parts.overload import overload
from luxe_bench.cost.parts.ratio import ratio
from luxe_bench.cost.reference import Reference
from luxe_bench.cost.rig import Rig
from luxe_bench.cost.targets import Results, judge
from luxe_bench.cost.workload import Texts
from luxe_bench.interrupt import ended_in_order
from luxe_training.data import load

__all__ = ["PARTS", "bench", "measure"]

PARTS: dict[str, tuple[str, Callable[[Rig], Any]]] = {
    "ratio": ("luxe, the engine alone and FastAPI in turn", ratio),
    "latency": ("1 to 128 callers", latency),
    "overload": ("up to three times the capacity", overload),
    "memory": ("start-up and memory with 1 and 8 models", memory),
    "cache": ("repeated texts with and without the server's cache", cache),
    "neighbours": ("a model beside a flooded one", neighbours),
}


def bench(
    project: Project, entry: Entry, *, parts: Sequence[str], texts: int, seconds: float, as_json: bool
) -> dict[str, Any]:
    """Measure the newest published version, print and keep what was found; return the content of ``cost.json``.

    Args:
        parts: names of `PARTS`; all when empty.
        texts: of a closed loop.
        seconds: of an open loop.

    Raises:
        UserError: the model cannot be measured.
        Rejected: a target was missed, or a part could not be measured; the run is kept all the same.
    """
    _check(entry)
    manifest = copies.newest(project, entry.name)
    sources = [
        text for split in ("train", "test") for text in load(project.data(entry.name), split, entry.labels).texts
    ]
    started, load_before = datetime.now(timezone.utc), os.getloadavg()[0]
    asked = [name for name in PARTS if not parts or name in parts]
    with ended_in_order(), tempfile.TemporaryDirectory(prefix="luxe-bench-") as scratch:
        name, version = manifest.model, str(manifest.version)
        folders = (project.repository / name / version, project.repository / engine_name(name) / version)
        with Reference(*folders, Path(scratch)) as reference:
            rig = Rig(entry, project.repository, manifest, Path(scratch), Texts(sources), reference, texts, seconds)
            results = measure(rig, asked)
    checks = judge(results)
    facts = record.facts(manifest, started=started, load_before=load_before, texts=texts, seconds=seconds)
    content = record.whole(facts, results, checks)
    folder = project.bench_results / f"{entry.name}-cost-{started:%Y%m%d-%H%M%S}"
    record.write(project.bench_results, folder, content, record.line(facts, results, checks))
    if results.overload:
        picture.write(results.overload, folder, model=entry.name)
    if as_json:
        print(json.dumps(content, indent=2))
    else:
        show.show(results, checks, facts, asked)
    console.print(f"kept in {folder.relative_to(project.root)}", soft_wrap=True)
    missed = [check.name for check in checks if not check.met]
    if missed:
        raise Rejected(f"{entry.name} misses: {', '.join(missed)}")
    return content


def measure(rig: Rig, asked: Sequence[str]) -> Results:
    """Run the parts; one that fails does not take the others with it."""
    found: dict[str, Any] = {}
    broken: dict[str, str] = {}
    for part in asked:
        title, run = PARTS[part]
        step(f"{part}: {title}")
        try:
            found[part] = run(rig)
        except UserError as error:
            broken[part] = str(error)
            fail(f"{part} could not be measured: {error}")
    return Results(**found, checked=rig.checked, wrong=rig.wrong, failed=rig.failed, broken=broken)


def _check(entry: Entry) -> None:
    if entry.task != "text-classification" or entry.problem_type != "single_label_classification" or entry.text_pairs:
        raise UserError(f"{entry.name}: `luxe bench cost` measures models that give single texts one label")
    for package in ("fastapi", "uvicorn"):
        if importlib.util.find_spec(package) is None:
            raise UserError(f"no {package} for the comparison: install it with `pip install 'luxe[bench]'`")
