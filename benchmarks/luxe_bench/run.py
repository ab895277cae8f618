"""`luxe bench`: Locust in a process of its own, then the verdict and the report."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path

from luxe.console import console, output, progress, table
from luxe.errors import Rejected, UserError
from luxe.project import Project
from luxe.schema import Entry
from luxe_bench import report, samples
from luxe_bench.verdict import Verdict, judge
from luxe_client import Client

__all__ = ["bench"]

_WARM_UP_S = 3
"""Locust's clock starts before its user has connected; what is due later than asked for is cut off."""

_GRACE_S = 60.0


def bench(project: Project, entry: Entry, *, address: str, rate: float, duration_s: int, as_json: bool) -> Verdict:
    """Send ``rate`` requests/s for ``duration_s`` seconds to a server and judge the answers.

    Raises:
        LuxeError: no server at the address, or it does not serve the model.
        Rejected: a target was missed; the report is written all the same.
    """
    with Client(address) as client:
        client.classify(entry.name, "hello")  # a missing server or model is an error, not a bad result
    taken = _load(project, entry, address=address, rate=rate, duration_s=duration_s)
    taken = [sample for sample in taken if sample.due_s < duration_s]
    verdict = judge(taken, entry.slo, offered_per_s=rate, duration_s=duration_s)
    started = datetime.now(timezone.utc)
    folder = project.bench_results / f"{entry.name}-{started:%Y%m%d-%H%M%S}"
    facts = {
        "model": entry.name,
        "rate_per_s": rate,
        "duration_s": duration_s,
        "time": f"{started:%Y-%m-%d %H:%M} UTC",
    }
    report.write(folder, facts, verdict, taken)
    if as_json:
        print(json.dumps({**facts, **dataclasses.asdict(verdict)}, indent=2))
    else:
        _show(verdict)
    console.print(f"report: {_short(folder / 'index.html')}", soft_wrap=True)
    if not verdict.passed:
        missed = ", ".join(check.name for check in verdict.checks if not check.met)
        raise Rejected(f"{entry.name} misses its [slo]: {missed}")
    return verdict


def _load(project: Project, entry: Entry, *, address: str, rate: float, duration_s: int) -> list[samples.Sample]:
    with tempfile.TemporaryDirectory(prefix="luxe-bench-") as scratch:
        raw, log = Path(scratch) / "samples.jsonl", Path(scratch) / "locust.log"
        command = [
            *(sys.executable, "-m", "locust", "-f", str(project.root / "benchmarks" / "locustfile.py")),
            *("--headless", "--users", "1", "--run-time", f"{duration_s + _WARM_UP_S}s", "--stop-timeout", "30"),
            *("--host", address, "--model", entry.name, "--rate", str(rate)),
            *("--root", str(project.root), "--samples", str(raw)),
        ]
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            with progress() as bar:
                task = bar.add_task(f"{rate:g} requests/s", total=duration_s)
                deadline = time.monotonic() + duration_s + _GRACE_S
                start = time.monotonic()
                while process.poll() is None and time.monotonic() < deadline:
                    bar.update(task, completed=min(duration_s, round(time.monotonic() - start)))
                    time.sleep(0.2)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
        if not raw.is_file():
            last = (log.read_text(errors="replace").strip().splitlines() or ["no output"])[-1]
            raise UserError(f"Locust ended with status {process.returncode}: {last}")
        return samples.read(raw)


def _show(verdict: Verdict) -> None:
    rows = table("target", ">measured", "", ">wanted", "")
    for check in verdict.checks:
        measured = "-" if check.measured is None else f"{check.measured:.4g}"
        mark = "[green]met[/]" if check.met else "[red]missed[/]"
        rows.add_row(check.name, measured, check.relation, f"{check.target:.4g}", mark)
    output.print(rows)
    errors = ", ".join(f"{count} {kind}" for kind, count in verdict.errors.items()) or "no errors"
    word = "[bold green]PASS[/]" if verdict.passed else "[bold red]FAIL[/]"
    output.print(f"{verdict.answered} of {verdict.requests} requests answered, {errors}: {word}")


def _short(path: Path) -> Path:
    """Return a path relative to here, where it lies below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
