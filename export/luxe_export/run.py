"""`luxe export`: build the candidates, measure them, publish the fastest that passes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from luxe.catalog import Entry
from luxe.console import console, progress, step, table
from luxe.errors import Rejected
from luxe.project import Project
from luxe_export import publish, triton_config
from luxe_serving.text_model import Settings
from luxe_training import base, data

__all__ = ["Outcome", "Verdict", "export"]

_TOOLS = ("luxe", "torch", "transformers", "optimum", "optimum-onnx", "onnx", "onnxruntime", "peft")


@dataclasses.dataclass(frozen=True)
class Verdict:
    """One candidate: what was measured, and why it was refused, if it was."""

    candidate: str
    measurement: dict[str, Any] | None
    """Fields of `luxe_export.gate.Measurement`; None when it could not be built."""
    ms_per_text: float | None
    findings: list[str]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What `export` did."""

    version: int
    precision: str
    reused: bool


def export(project: Project, entry: Entry, checkpoint: Path, *, force: bool = False) -> Outcome:
    """Export, gate and publish a model; does nothing when the same inputs are published already.

    Raises:
        UserError: checkpoint, data or repository cannot be used.
        Rejected: no candidate passes; the repository keeps what it had.
    """
    publish.check_writable(project.repository)
    folder = project.data(entry.name)
    inputs = _inputs_sha256(entry, checkpoint, folder)
    latest = publish.latest_manifest(project.repository, entry.name)
    if latest and latest["inputs_sha256"] == inputs and not force:
        console.print(f"{entry.name} version {latest['version']} ({latest['precision']}) is up to date")
        return Outcome(latest["version"], latest["precision"], reused=True)
    # The heavy imports take seconds of their own.
    with console.status("loading PyTorch and transformers"):
        from luxe_export import source as sources

        source = sources.load(entry, checkpoint)
    with tempfile.TemporaryDirectory(prefix="luxe-export-") as scratch:
        verdicts, files = _candidates(entry, source, folder, Path(scratch))
        _show(verdicts)
        passed = [v for v in verdicts if not v.findings and v.ms_per_text is not None]
        if not passed:
            raise Rejected(f"no candidate of {entry.name} passes catalog/{entry.name}.toml; nothing was published")
        winner = min(passed, key=lambda v: v.ms_per_text or 0.0)
        manifest = {
            "precision": winner.candidate,
            "inputs_sha256": inputs,
            "engine_sha256": base.sha256(files[winner.candidate]),
            "candidates": [dataclasses.asdict(v) for v in verdicts],
            "measured_on": _cpu(),
            "tools": {tool: version(tool) for tool in _TOOLS},
        }
        number = _publish(project, entry, source, files[winner.candidate], manifest)
    console.print(f"[green]published[/] {entry.name} version {number} ({winner.candidate})")
    return Outcome(number, winner.candidate, reused=False)


def _candidates(entry: Entry, source: Any, folder: Path, scratch: Path) -> tuple[list[Verdict], dict[str, Path]]:
    from luxe_export import convert, gate

    test = data.load(folder, "test", entry.labels)
    reference = _reference(entry, source, test)
    step("exporting to ONNX")
    with console.status("optimum"):
        raw = convert.to_onnx(source, scratch, task=entry.task)
    step(f"building and measuring {', '.join(convert.CANDIDATES)} on {len(test)} test texts")
    files: dict[str, Path] = {}
    measured: dict[str, gate.Measurement] = {}
    failed: dict[str, str] = {}
    with progress() as bar:
        task = bar.add_task("", total=len(convert.CANDIDATES) * gate.passes(reference) + gate.TIMING_ROUNDS + 1)
        for name in convert.CANDIDATES:
            bar.update(task, description=f"{name}: building")
            try:
                path = convert.build(name, raw, scratch, source.model.config)
                bar.update(task, description=f"{name}: measuring")
                measured[name] = gate.measure(name, path, reference, lambda: bar.advance(task))
                files[name] = path
            except Exception as error:  # a candidate that its tools cannot build is refused, not the export
                failed[name] = f"not built: {type(error).__name__}: {' '.join(str(error).split())}"
        bar.update(task, description="timing")
        times = gate.time_per_text(
            files,
            reference,
            threads=entry.serving.intra_op_threads,
            micro_batch=entry.serving.max_micro_batch,
            advance=lambda: bar.advance(task, 1 / max(1, len(files))),
        )
    verdicts = [
        Verdict(
            name,
            dataclasses.asdict(measured[name]) if name in measured else None,
            times.get(name),
            gate.findings(measured[name], entry.quality) if name in measured else [failed[name]],
        )
        for name in convert.CANDIDATES
    ]
    return verdicts, files


def _reference(entry: Entry, source: Any, test: data.Split) -> Any:
    import torch

    from luxe_export.gate import Reference
    from luxe_training.calibration import softmax

    step(f"PyTorch answers {len(test)} test texts")
    tokens = [dict(source.tokenizer(text, **_cut(entry))) for text in test.texts]
    logits = []
    with progress() as bar, torch.inference_mode():
        for row in bar.track(tokens, description="PyTorch"):
            logits.append(source.model(**{k: torch.tensor([v]) for k, v in row.items()}).logits[0].numpy())
    return Reference(
        tokens=tokens,
        labels=np.array(test.labels),
        probabilities=softmax(np.stack(logits)),
        max_length=entry.max_length,
        padding_id=source.tokenizer.pad_token_id,
    )


def _publish(project: Project, entry: Entry, source: Any, engine: Path, manifest: dict[str, Any]) -> int:
    from luxe_export.convert import input_names

    inputs = input_names(engine)
    settings = Settings(
        engine=triton_config.engine_name(entry.name),
        engine_inputs=tuple(inputs),
        labels=entry.labels,
        max_length=entry.max_length,
        padding_id=source.tokenizer.pad_token_id,
        review_threshold=entry.review_threshold,
        max_batch_size=entry.serving.max_batch_size,
        max_micro_batch=entry.serving.max_micro_batch,
        max_padding_share=entry.serving.max_padding_share,
        max_text_bytes=entry.serving.max_text_bytes,
        engine_instances=entry.serving.engine_instances,
    )
    return publish.publish(
        project.repository,
        publish.Parts(
            name=triton_config.engine_name(entry.name),
            shared={"config.pbtxt": triton_config.to_text(triton_config.engine(entry, inputs)).encode()},
            version={triton_config.ENGINE_FILE: engine},
        ),
        publish.Parts(
            name=entry.name,
            shared={
                "config.pbtxt": triton_config.to_text(triton_config.text(entry)).encode(),
                triton_config.LABELS_FILE: "".join(f"{label}\n" for label in entry.labels).encode(),
            },
            version={
                "luxe.json": settings.to_json().encode(),
                "tokenizer.json": source.tokenizer.backend_tokenizer.to_str().encode(),
            },
        ),
        manifest,
    )


def _cut(entry: Entry) -> dict[str, Any]:
    return {"truncation": True, "max_length": entry.max_length}


def _inputs_sha256(entry: Entry, checkpoint: Path, folder: Path) -> str:
    """Return one hash over all that the result depends on."""
    facts = entry.model_dump(mode="json", exclude={"description", "training", "slo"})
    settings = [field.name for field in dataclasses.fields(Settings)]  # what the server will want to read
    tools = [version(tool) for tool in _TOOLS]
    digest = hashlib.sha256(json.dumps([facts, settings, tools], sort_keys=True).encode())
    for path in sorted([*checkpoint.glob("*"), *folder.glob("test.jsonl")]):
        if path.is_file():
            digest.update(f"{path.name} {base.sha256(path)}\n".encode())
    return digest.hexdigest()


def _cpu() -> str:
    names = [x for x in Path("/proc/cpuinfo").read_text().splitlines() if x.startswith("model name")]
    return f"{names[0].partition(':')[2].strip()} ({platform.machine()})" if names else platform.machine()


def _show(verdicts: list[Verdict]) -> None:
    rows = table("candidate", ">macro-F1", ">agreement", ">Δp", ">Δp in batch", ">ms/text", ">MB", "verdict")
    for v in verdicts:
        m = v.measurement
        numbers = ["-"] * 6
        if m and v.ms_per_text:
            changes = (m["label_agreement"], m["max_probability_change"], m["max_batch_probability_change"])
            numbers = [f"{m['macro_f1']:.4f}", *(f"{x:.4f}" for x in changes)]
            numbers += [f"{v.ms_per_text:.2f}", f"{m['file_bytes'] / 1e6:.1f}"]
        rows.add_row(v.candidate, *numbers, "[red]fails[/]" if v.findings else "[green]passes[/]")
    console.print(rows)
    for v in verdicts:
        for finding in v.findings:
            console.print(f"  {v.candidate}: {finding}")
