"""What is kept of a run: ``cost.json`` with everything, and in the history a line with the targets."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from luxe.machine import cpu_model
from luxe.manifest import Manifest
from luxe_bench.cost.targets import Results
from luxe_bench.verdict import Check

__all__ = ["HISTORY", "facts", "line", "whole", "write"]

HISTORY = "cost-history.jsonl"
_PACKAGES = ("luxe", "nvidia-pytriton", "onnxruntime", "tokenizers", "grpcio", "tritonclient", "fastapi", "uvicorn")


def facts(manifest: Manifest, *, started: datetime, load_before: float, **size: float) -> dict[str, Any]:
    """Return what was measured, where and when; ``size`` is how large the run was."""
    return {
        "model": manifest.model,
        "version": manifest.version,
        "precision": (manifest.model_extra or {}).get("precision"),
        "time": f"{started:%Y-%m-%d %H:%M} UTC",
        **size,
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "load_before": round(load_before, 2),
        "load_after": round(os.getloadavg()[0], 2),
        "versions": {"Python": platform.python_version(), **{package: version(package) for package in _PACKAGES}},
    }


def whole(about: Mapping[str, Any], results: Results, checks: Sequence[Check]) -> dict[str, Any]:
    """Return the content of ``cost.json``."""
    passed = all(check.met for check in checks)
    listed = [dataclasses.asdict(check) for check in checks]
    return {**about, "passed": passed, "checks": listed, **dataclasses.asdict(results)}


def line(about: Mapping[str, Any], results: Results, checks: Sequence[Check]) -> dict[str, Any]:
    """Return a run in one line: the facts, every target's value, and the few figures that have none."""
    more: dict[str, Any] = {}
    if results.overload:
        more["capacity_per_s"] = round(results.overload.capacity_per_s, 1)
    if results.memory:
        more["memory_bytes"] = {count: one.proportional_bytes for count, one in results.memory.models.items()}
    if results.cache:
        more["cache_hit_rate"] = results.cache.hit_rate
    measured = {check.name: check.measured for check in checks}
    missed = [check.name for check in checks if not check.met]
    return {**about, "passed": not missed, "missed": missed, "measured": measured, **more}


def write(results_folder: Path, run: Path, content: Mapping[str, Any], short: Mapping[str, Any]) -> None:
    """Write ``cost.json`` into ``run`` and append a line to the history; folders are made."""
    run.mkdir(parents=True, exist_ok=True)
    (run / "cost.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    with (results_folder / HISTORY).open("a", encoding="utf-8") as file:
        file.write(json.dumps(short) + "\n")
