"""`make gpu-check`: on a machine with a GPU, build what a GPU would serve, compare it with PyTorch, and time it.

    python -m luxe_export.gpu_check [MODEL]      ─► reports/gpu/{index.json, table.md}

Exit status 0: all of it agrees with PyTorch as the catalogue's `[quality]` asks; 1: something does not; 2: no GPU.
"""

from __future__ import annotations

import dataclasses
import json
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from luxe.console import console, fail, step
from luxe.errors import CommandError, Rejected, UserError
from luxe.project import Project
from luxe.schema import Entry, Quality
from luxe_export.reference import Reference
from luxe_serving import answers

__all__ = ["Line", "Parity", "check", "lines", "machine", "main", "markdown", "parity"]

BATCHES = (1, 8, 32)
_MIN_RUNS, _BUDGET_S = 5, 1.0


@dataclasses.dataclass(frozen=True)
class Line:
    """The time of one shape on one engine."""

    engine: str
    batch: int
    tokens: int
    ms: float
    """Median of a run, with the copies to the GPU and back, as a server does them."""


@dataclasses.dataclass(frozen=True)
class Parity:
    """One engine against PyTorch in fp32 on the test set."""

    engine: str
    agreement: float
    """Share of units with PyTorch's answer."""
    change: float
    """Largest change of an answer; not finite when an answer is not a number."""

    def findings(self, quality: Quality) -> list[str]:
        """Return which rules of the catalogue it breaks; written so that what is not a number breaks them."""
        found = []
        if not self.agreement >= quality.min_agreement:
            found.append(f"{self.engine}: agreement {self.agreement:.4f} is under {quality.min_agreement}")
        if not self.change <= quality.max_change:
            found.append(f"{self.engine}: largest change {self.change:.4f} is over {quality.max_change}")
        return found


def machine() -> str:
    """Return the GPU's name and driver.

    Raises:
        UserError: there is none, or this onnxruntime cannot use it; says what is missing.
    """
    import onnxruntime

    if shutil.which("nvidia-smi") is None:
        raise UserError("gpu-check needs an NVIDIA GPU and its driver: there is no nvidia-smi on this machine")
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    found = subprocess.run(query, capture_output=True, text=True, check=False)
    if found.returncode or not found.stdout.strip():
        said = " ".join((found.stderr or found.stdout).split())
        raise UserError(f"gpu-check needs an NVIDIA GPU: nvidia-smi finds none ({said})")
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise UserError(
            "gpu-check needs ONNX Runtime with CUDA: pip uninstall -y onnxruntime && "
            f"pip install 'onnxruntime-gpu[cuda,cudnn]=={onnxruntime.__version__}'"
        )
    return found.stdout.splitlines()[0].strip()


def parity(name: str, engine: Any, reference: Reference) -> Parity:
    """Ask an engine the test set, in batches of 8 in the order of the file."""
    from luxe_export.answering import batches, inputs

    names = [value.name for value in engine.get_inputs()]
    outputs = []
    for rows in batches(range(len(reference.tokens)), 8):
        raw = engine.run(None, inputs(reference, rows, names))[0]
        given = answers.activate(reference.meaning, raw)
        outputs += [row[: reference.lengths[i]] if given.ndim == 3 else row for i, row in zip(rows, given, strict=True)]
    evaluation = reference.evaluation
    if not all(np.isfinite(row).all() for row in outputs):
        return Parity(name, float("nan"), float("nan"))
    return Parity(
        name,
        float(evaluation.agreement(reference.outputs, outputs).mean()),
        float(evaluation.change(reference.outputs, outputs).max()),
    )


def lines(engines: Mapping[str, Any], reference: Reference) -> list[Line]:
    """Time engines on batches of 1, 8 and 32 texts, of short and typical length; they take turns."""
    from luxe_export.answering import inputs
    from luxe_export.latency import lengths

    result = []
    for tokens in lengths(reference):
        nearest = np.argsort(np.abs(reference.lengths - tokens), kind="stable")
        for batch in BATCHES:
            rows = np.resize(nearest, batch).tolist()
            made = {n: inputs(reference, rows, [v.name for v in e.get_inputs()], tokens) for n, e in engines.items()}
            seconds: dict[str, list[float]] = {name: [] for name in engines}
            began = time.perf_counter()
            # The first round warms up: CUDA picks its kernels then.
            while len(next(iter(seconds.values()))) <= _MIN_RUNS or time.perf_counter() - began < _BUDGET_S:
                for name, engine in engines.items():
                    start = time.perf_counter()
                    engine.run(None, made[name])
                    seconds[name].append(time.perf_counter() - start)
            result += [Line(n, batch, tokens, float(np.median(own[1:])) * 1e3) for n, own in seconds.items()]
    return result


def markdown(head: str, parities: Sequence[Parity], timed: Sequence[Line]) -> str:
    """Return the report for people."""
    engines = list(dict.fromkeys(line.engine for line in timed))
    text = [head, "", "| engine | agreement | largest change |", "|---|---|---|"]
    text += [f"| {p.engine} | {p.agreement:.4f} | {p.change:.5f} |" for p in parities]
    text += ["", "Milliseconds a batch, median:", "", f"| batch | tokens | {' | '.join(engines)} |"]
    text += ["|" + "---|" * (len(engines) + 2)]
    by_shape: dict[tuple[int, int], dict[str, float]] = {}
    for line in timed:
        by_shape.setdefault((line.batch, line.tokens), {})[line.engine] = line.ms
    for (batch, tokens), own in by_shape.items():
        text.append(f"| {batch} | {tokens} | " + " | ".join(f"{own[e]:.2f}" for e in engines) + " |")
    return "\n".join(text) + "\n"


def check(project: Project, entry: Entry) -> Path:
    """Do all of it, and return the folder of the report.

    Raises:
        UserError: no GPU, or the model cannot be loaded.
        Rejected: an engine does not agree with PyTorch; the report is written all the same.
    """
    gpu = machine()  # before imports that take seconds
    import onnxruntime

    from luxe_export import evaluation, graph, source
    from luxe_export.reference import reference
    from luxe_serving.onnx_engine import session

    with tempfile.TemporaryDirectory(prefix="luxe-gpu-") as scratch:
        step(f"building {entry.name} for {gpu}")
        loaded = source.load(entry, project.checkpoint(entry.name))
        own = reference(entry, loaded, evaluation.load(entry, project.data(entry.name), loaded), lambda: None)
        raw = graph.to_onnx(loaded, Path(scratch))
        files, plan = _build(entry, own, raw, loaded.model.config, Path(scratch))
        threads = entry.serving.intra_op_threads
        engines = {
            name: session(path, intra_op_threads=threads, gpu=0 if name.startswith("cuda") else None)
            for name, path in files.items()
        }
        step("comparing with PyTorch, and timing")
        parities = [parity(name, engine, own) for name, engine in engines.items()]
        timed = lines(engines, own)
    folder = project.root / "reports" / "gpu"
    folder.mkdir(parents=True, exist_ok=True)
    found = [finding for p in parities for finding in p.findings(entry.quality) if p.engine.startswith("cuda")]
    report = {
        "model": entry.name,
        "gpu": gpu,
        "cpu": platform.processor() or platform.machine(),
        "tools": {"onnxruntime": onnxruntime.__version__} | {t: version(t) for t in ("torch", "transformers", "onnx")},
        "parity": [dataclasses.asdict(p) for p in parities],
        "latency": [dataclasses.asdict(line) for line in timed],
        "tensorrt": plan,
        "findings": found,
    }
    (folder / "index.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    head = f"`{entry.name}` on {gpu}; CPU engines on {threads} thread(s). TensorRT: {plan.split(' (')[0]}."
    (folder / "table.md").write_text(markdown(head, parities, timed), encoding="utf-8")
    if found:
        raise Rejected(f"on the GPU {entry.name} differs from PyTorch: {'; '.join(found)}")
    return folder


def _build(entry: Entry, own: Reference, raw: Path, config: Any, folder: Path) -> tuple[dict[str, Path], str]:
    """Return engines by name, those of a GPU starting with ``cuda``, and what became of the TensorRT plan."""
    from luxe_export import fp16, ladder, profiles, tensorrt_plan

    names = ("cuda-fp32", "cuda-fp16", "unfused-fp16")
    files = {"cpu-int8": folder / "cpu-int8.onnx"}
    workshop = ladder.Workshop(raw, config, folder, ladder.cpu_family(), None)
    ladder.build(ladder.recipes("cpu", ["int8-per-token"])[0], workshop, files["cpu-int8"])
    files |= {name: folder / f"{name}.onnx" for name in names[:2]}
    fp16.fuse(raw, files["cuda-fp32"], config)
    fp16.convert(files["cuda-fp32"], files["cuda-fp16"])
    unfused, plan = folder / f"{names[2]}.onnx", folder / "model.plan"
    fp16.convert(raw, unfused)
    shapes = profiles.profiles(own.lengths.tolist(), entry.serving.max_batch_size, entry.max_length)
    try:
        start = time.perf_counter()
        tensorrt_plan.build(unfused, plan, shapes, folder / "timing.cache")
    except (UserError, ValueError) as error:
        return files, f"not built: {error}"
    return files, f"built in {time.perf_counter() - start:.0f} s, {plan.stat().st_size} bytes; not timed"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `check` on a model of the catalogue, by default the first; return the exit status."""
    from luxe import catalog

    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        project = Project.open(Path.cwd())
        machine()
        entry = catalog.load(project, given[0]) if given else catalog.load_all(project)[0]
        folder = check(project, entry)
    except CommandError as error:
        fail(str(error))
        return error.exit_status
    console.print(f"[green]written[/] {folder}/table.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
