"""`luxe bench client`: both parts, then the verdict and what is kept of it."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from luxe.console import console, fail, step
from luxe.errors import Rejected, UserError
from luxe.project import Project
from luxe.schema import Entry
from luxe_bench.client_cost import show
from luxe_bench.client_cost.calls import Calls, calls
from luxe_bench.client_cost.stream import BATCHES, ONES, Stream, stream
from luxe_bench.cost import copies, record
from luxe_bench.cost.workload import Texts
from luxe_bench.interrupt import ended_in_order
from luxe_bench.verdict import Check
from luxe_training.data import load

__all__ = ["HISTORY", "bench", "judge"]

HISTORY = "client-history.jsonl"
_MAX_CPU_RATIO = 1.3
_MIN_STREAM_RATIO = 0.95
_SERVED = {"cache_bytes": 0, "max_wait_ms": 60_000}
"""A cache would know a round's texts the second time; and 1,024 texts in flight wait for longer than users would."""


def bench(project: Project, entry: Entry, *, rounds: int, count: int, texts: int, as_json: bool) -> dict[str, Any]:
    """Measure the clients, print and keep what was found; return the content of ``client.json``.

    Args:
        rounds: of either part.
        count: calls of a round, of each client.
        texts: of a round, in each way, to the model's newest published version.

    Raises:
        UserError: the model cannot be measured, or a call failed.
        Rejected: a target was missed; the run is kept all the same.
    """
    if entry.task != "text-classification" or entry.problem_type != "single_label_classification" or entry.text_pairs:
        raise UserError(f"{entry.name}: `luxe bench client` measures with models that give single texts one label")
    manifest = copies.newest(project, entry.name)
    sources = [
        text for split in ("train", "test") for text in load(project.data(entry.name), split, entry.labels).texts
    ]
    started, load_before = datetime.now(timezone.utc), os.getloadavg()[0]
    with ended_in_order(), tempfile.TemporaryDirectory(prefix="luxe-bench-") as folder:
        scratch = Path(folder)
        step("calls: processor time, against tritonclient on the same call")
        called = calls(scratch, rounds=rounds, count=count)
        step("stream: iter_classify against 32 callers")
        repository = copies.copy(project.repository, manifest, [entry.name], scratch / "served", change=_SERVED)
        try:
            streamed = stream(repository, entry.name, Texts(sources), scratch, rounds=rounds, count=texts)
        except UserError as error:
            fail(f"stream could not be measured: {error}")
            streamed = None
    checks = judge(called, streamed)
    facts = record.facts(
        manifest, started=started, load_before=load_before, rounds=rounds, calls_a_round=count, texts_a_round=texts
    )
    short = {
        **facts,
        "passed": all(check.met for check in checks),
        "measured": {check.name: check.measured for check in checks},
    }
    whole = {
        **short,
        "checks": [dataclasses.asdict(check) for check in checks],
        "calls": [{**dataclasses.asdict(one), "ratio": one.ratio} for one in called],
        "stream": dataclasses.asdict(streamed) if streamed else None,
    }
    run = project.bench_results / f"{entry.name}-client-{started:%Y%m%d-%H%M%S}"
    run.mkdir(parents=True)
    (run / "client.json").write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
    with (project.bench_results / HISTORY).open("a", encoding="utf-8") as file:
        file.write(json.dumps(short) + "\n")
    if as_json:
        print(json.dumps(whole, indent=2))
    else:
        show.show(called, streamed, checks, facts)
    console.print(f"kept in {run.relative_to(project.root)}", soft_wrap=True)
    missed = [check.name for check in checks if not check.met]
    if missed:
        raise Rejected(f"the client misses: {', '.join(missed)}")
    return whole


def judge(called: Sequence[Calls], streamed: Stream | None) -> list[Check]:
    """Hold every ratio against its target; a stream that could not be measured misses them."""
    checks = []
    for one in called:
        name = f"CPU of a call / tritonclient, {one.shell}, {one.callers} caller{'s' * (one.callers > 1)}"
        checks.append(Check(name, one.ratio, "<=", _MAX_CPU_RATIO, one.ratio <= _MAX_CPU_RATIO))
    for other in (ONES, BATCHES):
        ratio = streamed.ratio(other) if streamed else None
        met = ratio is not None and ratio >= _MIN_STREAM_RATIO
        checks.append(Check(f"texts/s of iter_classify / {other}", ratio, ">=", _MIN_STREAM_RATIO, met))
    if streamed:
        checks.append(Check("labels that differ", streamed.differing, "<=", 0, streamed.differing == 0))
    return checks
