"""`make gpu-check`: on a machine with a GPU, run the real export for every target, and put their figures side by side.

    python -m luxe_export.gpu.check [MODEL]      ─► reports/gpu/{index.json, table.md}

Exit status 0: every target had a candidate that passes the gate; 1: one had none; 2: no GPU.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from luxe.console import console, fail, step
from luxe.errors import CommandError, Rejected, UserError
from luxe.project import Project
from luxe.schema import Entry
from luxe_export.publishing.triton_config import Target

__all__ = ["check", "machine", "main", "markdown", "targets"]


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


def targets() -> tuple[Target, ...]:
    """Return what can be exported for here: TensorRT only where its package is."""
    return ("cpu", "cuda", "tensorrt") if importlib.util.find_spec("tensorrt") else ("cpu", "cuda")


def check(project: Project, entry: Entry) -> Path:
    """Export for each target into a project of its own, and return the folder of the report.

    Raises:
        UserError: no GPU, or the model cannot be loaded or built for a target.
        Rejected: no candidate of a target passes the gate.

    Whatever is raised, the report has the targets that were finished before.
    """
    gpu = machine()  # before imports that take seconds
    exports: dict[str, dict[str, Any]] = {}
    folder = project.reports / "gpu"
    try:
        with tempfile.TemporaryDirectory(prefix="luxe-gpu-") as scratch:
            for target in targets():
                step(f"{entry.name} for {target}")
                exports[target] = _export(project, entry, Path(scratch) / target, target)
    finally:
        if exports:
            folder.mkdir(parents=True, exist_ok=True)
            whole = {"model": entry.name, "gpu": gpu, "exports": exports}
            (folder / "index.json").write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
            (folder / "table.md").write_text(markdown(entry.name, gpu, exports), encoding="utf-8")
    if lost := [target for target, report in exports.items() if report["winner"] is None]:
        raise Rejected(f"no candidate of {entry.name} for {', '.join(lost)} passes the gate; see {folder}/table.md")
    return folder


def markdown(model: str, gpu: str, exports: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the reports of exports, by target, as a page for people."""
    first = next(iter(exports.values()))
    timed = (c["latency"]["shapes"] for report in exports.values() for c in report["candidates"] if c["latency"])
    shapes: Sequence[Mapping[str, Any]] = next(timed, [])  # nothing is timed where nothing could be built
    heads = [f"{shape['batch']} × {shape['tokens']} tokens, ms" for shape in shapes]
    columns = ["target", "candidate", first["metric_name"], "agreement", "change", "change in a batch", *heads, ""]
    text = [f"`{model}` on {gpu}; targets `cpu` on {first['cpu']}.", "", f"| {' | '.join(columns)} |"]
    text.append("|" + "---|" * len(columns))
    for target, report in exports.items():
        text += [_line(target, c, report["winner"], len(heads)) for c in report["candidates"]]
    if "tensorrt" in exports:
        text += ["", "Of a TensorRT plan this shows the fp16 graph that it is built from, run with CUDA."]
    return "\n".join(text) + "\n"


def _export(project: Project, entry: Entry, root: Path, target: Target) -> dict[str, Any]:
    """Return the report of a real export."""
    from luxe_export.run import export

    own = Project(root)
    own.data(entry.name).parent.mkdir(parents=True)
    own.data(entry.name).symlink_to(project.data(entry.name))
    try:
        done = str(export(own, entry, project.checkpoint(entry.name), target=target).version)
    except Rejected as error:
        console.print(f"  {error}", markup=False)
        done = "refused"
    report: dict[str, Any] = json.loads((own.reports / entry.name / done / "report.json").read_text(encoding="utf-8"))
    return report


def _line(target: str, candidate: Mapping[str, Any], winner: str | None, shapes: int) -> str:
    m, t = candidate["measurement"], candidate["latency"]
    cells = [target, candidate["candidate"]]
    keys = ("metric", "agreement", "change", "batch_change")
    cells += [f"{m[key]:.4f}" if m and m[key] is not None else "-" for key in keys]
    cells += [f"{shape['ms']:.2f}" for shape in t["shapes"]] if t else ["-"] * shapes
    cells.append("published" if candidate["candidate"] == winner else "; ".join(candidate["findings"]) or "passes")
    return f"| {' | '.join(cells)} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `check` on a model of the catalogue, by default the first; return the exit status."""
    from luxe import catalog

    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        project = Project.open(Path.cwd())
        machine()
        entries = [catalog.load(project, given[0])] if given else catalog.load_all(project)
        if not entries:
            raise UserError("gpu-check needs a model: the catalogue has none")
        folder = check(project, entries[0])
    except CommandError as error:
        fail(str(error))
        return error.exit_status
    console.print(f"[green]written[/] {folder}/table.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
