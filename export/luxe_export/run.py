"""`luxe export`: build the candidates, measure them, publish the fastest that passes."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import json
import os
import platform
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luxe import signing
from luxe.console import console, progress, step
from luxe.errors import Rejected, UserError
from luxe.machine import cpu_model
from luxe.project import Project
from luxe.schema import Entry
from luxe_export import ladder, show
from luxe_export.checkpoint import files
from luxe_export.publishing import publish
from luxe_export.publishing.triton_config import Target
from luxe_serving.text import tensors
from luxe_serving.text.settings import Settings
from luxe_training import base

if TYPE_CHECKING:
    from luxe_export.checkpoint.source import Source
    from luxe_export.gate.choice import Verdict
    from luxe_export.gate.details import Details
    from luxe_export.gate.reference import Reference

__all__ = ["Outcome", "export"]

_TOOLS = ("luxe", "torch", "transformers", "optimum", "optimum-onnx", "onnx", "onnxruntime", "peft", "tokenizers")
_CALIBRATION_ROWS = 256
"""Texts of the training split that static ranges are found with."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What `export` did."""

    version: int
    precision: str
    reused: bool


def export(
    project: Project,
    entry: Entry,
    place: Path | str,
    *,
    target: Target = "cpu",
    candidates: Sequence[str] | None = None,
    explain: bool = False,
    force: bool = False,
    sign: Path | None = None,
    as_json: bool = False,
) -> Outcome:
    """Export, gate and publish a model; does nothing when the same inputs are published already.

    Args:
        place: a checkpoint's folder, or ``organisation/model@<commit>`` of the hub.
        candidates: only these steps of the ladder; all that are tried by default when None.
        explain: say of each candidate why it won or lost.
        force: export again, also when nothing has changed.
        sign: PEM file of the Ed25519 key that signs the manifest.
        as_json: print on standard output what was measured, the manifest's fields, beside the table.

    Raises:
        UserError: checkpoint, data, key or repository cannot be used.
        Rejected: no candidate passes; the repository keeps what it had.
    """
    began = time.monotonic()
    key = None if sign is None else signing.private_key(sign)
    publish.check_writable(project.repository, entry.name)
    folder = project.data(entry.name)
    steps = ladder.recipes(target, candidates, calibrated=(folder / "train.jsonl").is_file())
    if target == "tensorrt":
        from luxe_export.gpu import tensorrt_plan

        tensorrt_plan.check()
    found = files.find(place)
    inputs = _inputs_sha256(entry, found, folder, target, [recipe.name for recipe in steps])
    # A version whose publisher was killed counts once it is completed, or taken away.
    with publish.changing(project.repository):
        public = None if key is None else key.public_key()
        published = None if force else show.published_with(project.repository, entry.name, inputs, key=public)
        latest = publish.latest_manifest(project.repository, entry.name)
    if published:
        if as_json:
            show.as_json(latest or {}, reused=True)
        return Outcome(*published, reused=True)
    if latest and latest.get("target", target) != target:
        raise UserError(
            f"{entry.name} is published for {latest['target']}, and an entry's config belongs to all of its versions: "
            f"export for {target} into a repository of its own (--root), or remove the entry and its engine first"
        )
    # The heavy imports take seconds of their own.
    with console.status("loading PyTorch and transformers"):
        from luxe_export.checkpoint import source as sources
        from luxe_export.gate import choice
        from luxe_export.publishing import parts

        source = sources.load(entry, found)
    with tempfile.TemporaryDirectory(prefix="luxe-export-") as scratch:
        tried = _try(entry, source, folder, Path(scratch), steps, target)
        winner = choice.choose(tried.verdicts)
        show.verdicts(tried.verdicts)
        reasons = choice.explain(tried.verdicts)
        for line in reasons if explain or winner is None else ():
            console.print(f"  {line}", markup=False)
        facts = {
            "target": target,
            "precision": winner and winner.candidate,
            "inputs_sha256": inputs,
            "source": {
                "place": found.folder.name if found.revision is None else str(place),
                "revision": source.revision,
                "base_revision": source.base_revision,
                "sha256": source.sha256,
            },
            "candidates": [
                {**v.to_json(), "sha256": base.sha256(tried.files[v.candidate]) if v.candidate in tried.files else None}
                for v in tried.verdicts
            ],
            "explain": reasons,
            "measured_on": _machine(),
            "tools": _tools(),
        }
        if winner is None:
            where = show.report(project, entry, None, facts, tried.reference, tried.details, tried.about, began)
            if as_json:
                show.as_json({**facts, "model": entry.name, "version": None}, report=where)
            raise Rejected(
                f"no candidate of {entry.name} passes catalog/{entry.name}.toml; nothing was published"
                + (f"; see {where}" if where else "")
            )
        engine = tried.files[winner.candidate]
        number = publish.publish(
            project.repository,
            *parts.parts(entry, source, engine, tried.reference, target, project.runs),
            {**facts, **parts.onnx_facts(engine)},
            key=key,
        )
        # Said first: it is so, whatever becomes of the report.
        console.print(f"[green]published[/] {entry.name} version {number} ({winner.candidate})")
        where = show.report(project, entry, number, facts, tried.reference, tried.details, tried.about, began)
    if as_json:
        show.as_json({**facts, "model": entry.name, "version": number}, report=where)
    if where:
        console.print(f"report: {where}", markup=False)
    return Outcome(number, winner.candidate, reused=False)


@dataclasses.dataclass
class _Tried:
    """What came of the ladder."""

    reference: Reference
    verdicts: list[Verdict]
    files: dict[str, Path]
    details: dict[str, Details]
    about: dict[str, str]


def _try(
    entry: Entry, source: Source, folder: Path, scratch: Path, steps: Sequence[ladder.Recipe], target: Target
) -> _Tried:
    from luxe_export import evaluation, graph
    from luxe_export.gate import choice, latency, measurement
    from luxe_export.gate.reference import reference

    measured_texts = evaluation.load(entry, folder, source)
    step(f"PyTorch answers {len(measured_texts.rows)} rows of the test set")
    with progress() as bar:
        task = bar.add_task("PyTorch", total=len(measured_texts.rows))
        original = reference(entry, source, measured_texts, lambda: bar.advance(task))
    step("exporting to ONNX")
    with console.status("optimum"):
        raw = graph.to_onnx(source, scratch)
    workshop = ladder.Workshop(raw, source.config, scratch, ladder.cpu_family(), _batches(entry, source, folder, raw))
    tried = _Tried(original, [], {}, {}, {recipe.name: recipe.about for recipe in steps})
    gpu = _gpu(target)
    measured: dict[str, measurement.Measurement] = {}
    failed: dict[str, str] = {}
    step(f"building and measuring {', '.join(recipe.name for recipe in steps)}")
    with progress() as bar:
        task = bar.add_task("", total=len(steps) * measurement.passes(original) + latency.STEPS)
        for recipe in steps:
            path = scratch / f"{recipe.name}.onnx"
            bar.update(task, description=f"{recipe.name}: building")
            doing = "built"
            try:
                ladder.build(recipe, workshop, path)
                bar.update(task, description=f"{recipe.name}: measuring")
                doing = "measured"
                measured[recipe.name], tried.details[recipe.name] = measurement.measure(
                    recipe.name, path, original, lambda: bar.advance(task), quality=entry.quality, gpu=gpu
                )
                tried.files[recipe.name] = path
            except UserError:  # of a training text, say: nothing that another candidate would mend
                raise
            except Exception as error:  # a candidate that its tools cannot build is refused, not the export
                failed[recipe.name] = f"not {doing}: {type(error).__name__}: {' '.join(str(error).split())}"
        bar.update(task, description="timing")
        times = {}
        if target == "cpu" or gpu is not None:
            times = latency.latency(
                tried.files,
                original,
                threads=entry.serving.intra_op_threads,
                micro_batch=min(entry.serving.max_micro_batch, latency.WORKING_BATCH),
                advance=lambda: bar.advance(task),
                gpu=gpu,
            )
    for recipe in steps:
        m = measured.get(recipe.name)
        reasons = [failed[recipe.name]] if m is None else measurement.findings(m, entry.quality)
        tried.verdicts.append(choice.Verdict(recipe.name, m, times.get(recipe.name), tuple(reasons)))
    return tried


def _gpu(target: Target) -> int | None:
    """Return the number of the GPU that candidates are measured on; None means the CPU, whatever the target."""
    if target == "cpu":
        return None
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        return 0
    step("no CUDA here: answers are compared on the CPU, and nothing is timed")
    return None


def _batches(entry: Entry, source: Source, folder: Path, raw: Path) -> Any:
    """Return what streams training texts as the engine's inputs; None without a training split."""
    from luxe_export import evaluation, graph
    from luxe_export.gate.answering import row_inputs

    if not (folder / "train.jsonl").is_file():
        return None
    names = graph.input_names(raw)

    def stream() -> Iterator[Any]:
        rows = evaluation.calibration_rows(entry, folder, _CALIBRATION_ROWS)
        while some := list(itertools.islice(rows, 32)):
            for tokens in evaluation.tokenize(entry, source.tokenizer, some):
                yield row_inputs([tokens], names, source.tokenizer.pad_token_id)

    return stream


def _inputs_sha256(entry: Entry, found: files.Files, folder: Path, target: Target, candidates: list[str]) -> str:
    """Return one hash over all that the result depends on."""
    facts = entry.model_dump(mode="json", exclude={"description", "training", "slo"})
    settings = [field.name for field in dataclasses.fields(Settings)]  # what the server will want to read
    # A luxe that answers more than the one before publishes again, or the server would go on without it.
    spoken = [dataclasses.astuple(t) for t in (*tensors.inputs(entry), *tensors.outputs(entry, 0))]
    data = {path.name: base.sha256(path) for path in sorted(folder.glob("t*.jsonl"))}
    parts = [facts, settings, spoken, _tools(), found.sha256, data, target, candidates, ladder.cpu_family()]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _tools() -> dict[str, str]:
    found = {}
    for tool in _TOOLS:
        with contextlib.suppress(PackageNotFoundError):
            found[tool] = version(tool)
    return found


def _machine() -> str:
    return f"{len(os.sched_getaffinity(0))} cores of {cpu_model()} ({platform.machine()}, {ladder.cpu_family()})"
