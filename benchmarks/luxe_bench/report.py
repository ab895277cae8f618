"""The report of a load test: ``result.json`` for programs, ``index.html`` for people, in one file each."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from luxe_bench.samples import Sample
from luxe_bench.verdict import Verdict

__all__ = ["write"]

_TEMPLATE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{{ facts.model }}: load test</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 3rem auto; padding: 0 1rem; color: #1c1b22 }
h1 { font-weight: 600 } .pass { color: #17733a } .fail { color: #b3261e }
table { border-collapse: collapse; margin: 1.5rem 0 } td, th { padding: .3rem 1.2rem .3rem 0; text-align: left }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums } tr + tr { border-top: 1px solid #e4e2ea }
img { max-width: 100% } footer { color: #6b6875; font-size: .85rem; margin-top: 2rem }
</style>
<h1>{{ facts.model }}: <span class="{{ 'pass' if verdict.passed else 'fail' }}">
{{- 'pass' if verdict.passed else 'fail' }}</span></h1>
<p>{{ '%g' % facts.rate_per_s }} requests/s for {{ facts.duration_s }} s, {{ facts.time }}.
{{ verdict.answered }} of {{ verdict.requests }} requests answered.
{% for kind, count in verdict.errors.items() %}{{ count }} {{ kind }}. {% endfor %}</p>
<table><tr><th>target<th class="n">measured<th><th class="n">wanted<th></tr>
{% for c in verdict.checks %}<tr><td>{{ c.name }}
<td class="n">{{ '-' if c.measured is none else '%.4g' % c.measured }}<td>{{ c.relation }}
<td class="n">{{ '%.4g' % c.target }}<td class="{{ 'pass' if c.met else 'fail' }}">{{ 'met' if c.met else 'missed' }}
{% endfor %}</table>
<img alt="latency against time, and by percentile" src="data:image/png;base64,{{ picture }}">
<footer>Open loop: latency counts from when a request was due.
{% for key, value in machine.items() %}{{ key }} {{ value }}{{ ', ' if not loop.last else '.' }}
{% endfor %}</footer>
</html>
"""


def write(folder: Path, facts: Mapping[str, Any], verdict: Verdict, samples: Sequence[Sample]) -> None:
    """Write both files into ``folder``, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    machine = _machine()
    whole = {
        **facts,
        **dataclasses.asdict(verdict),
        "machine": machine,
        "samples": [[round(s.due_s, 4), round(s.latency_ms, 3), s.error] for s in samples],
    }
    (folder / "result.json").write_text(json.dumps(whole) + "\n", encoding="utf-8")
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(_TEMPLATE)
    page = template.render(facts=facts, verdict=verdict, machine=machine, picture=_picture(samples))
    (folder / "index.html").write_text(page, encoding="utf-8")


def _picture(samples: Sequence[Sample]) -> str:
    """Return latency against time, and latency by percentile, as a PNG in base64."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4), layout="constrained")
    over_time, by_percentile = figure.subplots(1, 2)
    good = [s for s in samples if s.error is None]
    bad = [s for s in samples if s.error is not None]
    over_time.scatter([s.due_s for s in good], [s.latency_ms for s in good], s=8, color="#6b2fb3", label="answered")
    if bad:
        over_time.scatter([s.due_s for s in bad], [s.latency_ms for s in bad], s=14, color="#b3261e", label="failed")
    over_time.set(xlabel="due at, s", ylabel="latency, ms", title="every request")
    over_time.set_ylim(bottom=0)
    if samples:
        over_time.legend(frameon=False)
    if good:
        latencies = np.sort([s.latency_ms for s in good])
        # Distance to 100 %, so that the tail gets the room.
        tail = 1 - (np.arange(len(latencies)) + 0.5) / len(latencies)
        by_percentile.plot(tail, latencies, color="#6b2fb3")
        by_percentile.set_xscale("log")
        by_percentile.invert_xaxis()
        ticks = [p for p in (0.5, 0.1, 0.05, 0.01, 0.001) if p >= 0.5 / len(latencies)]
        by_percentile.set_xticks(ticks, [f"p{100 * (1 - p):g}" for p in ticks])
        by_percentile.minorticks_off()
        by_percentile.set_ylim(bottom=0)
    by_percentile.set(xlabel="percentile", ylabel="latency, ms", title="by percentile")
    for axes in (over_time, by_percentile):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return base64.b64encode(buffer.getvalue()).decode()


def _machine() -> dict[str, str]:
    return {
        "cores": str(len(os.sched_getaffinity(0))),
        "processor": platform.machine(),
        "Python": platform.python_version(),
        **{package: version(package) for package in ("luxe", "locust", "grpcio")},
    }
