"""``checkpoints/NAME/``: the adapter, the label map, and a model card with data hashes and metrics."""

from __future__ import annotations

import dataclasses
import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from luxe.errors import UserError
from luxe.schema import Entry
from luxe_training import json_values

if TYPE_CHECKING:
    from luxe_training.train import Result

__all__ = ["ADAPTER", "Record", "read", "write"]

ADAPTER = "adapter_model.safetensors"
_RECORD = "training.json"


@dataclasses.dataclass(frozen=True)
class Record:
    """``training.json``: what the card says, for programs."""

    temperature: float
    epochs: int
    metrics: dict[str, dict[str, float]]
    """By split, then by name; see `luxe_training.train.Metrics`."""
    data_sha256: dict[str, str]
    base: str
    base_sha256: str
    versions: dict[str, str]


def read(folder: Path) -> Record:
    """Read the record of a checkpoint.

    Raises:
        UserError: it is missing or not one of ours, or its temperature is none that logits can be divided by.
    """
    path = folder / _RECORD
    try:
        record = Record(**json_values.parse(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path} is not a training record: {error}") from None
    temperature = json_values.number(record.temperature)
    if temperature is None or temperature <= 0:
        raise UserError(f'{path}: "temperature" must be a number over 0, not {record.temperature!r:.40}')
    return dataclasses.replace(record, temperature=temperature)


def write(folder: Path, entry: Entry, result: Result) -> None:
    """Write the checkpoint; ``folder`` is replaced as a whole or not at all."""
    assert entry.base is not None
    record = Record(
        temperature=result.temperature,
        epochs=result.epochs,
        metrics={split: dataclasses.asdict(metrics) for split, metrics in result.metrics.items()},
        data_sha256=result.sha256,
        base=entry.base.hub_id,
        base_sha256=entry.base.sha256,
        versions=_versions("torch", "transformers", "peft"),
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        # Else peft writes the path of the folder that the base was loaded from.
        result.model.peft_config["default"].base_model_name_or_path = entry.base.hub_id
        result.model.save_pretrained(scratch, save_embedding_layers=False)
        result.model.config.save_pretrained(scratch)
        text = json.dumps(dataclasses.asdict(record), indent=2) + "\n"
        (scratch / _RECORD).write_text(text, encoding="utf-8")
        (scratch / "README.md").write_text(_card(entry, record, result), encoding="utf-8")
        scratch.chmod(0o755)
        if folder.exists():
            folder.rename(scratch / ".previous")
        try:
            scratch.rename(folder)
        except OSError:
            (scratch / ".previous").rename(folder)
            raise
        shutil.rmtree(folder / ".previous", ignore_errors=True)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _versions(*packages: str) -> dict[str, str]:
    from importlib.metadata import version

    return {package: version(package).split("+")[0] for package in packages}


def _card(entry: Entry, record: Record, result: Result) -> str:
    rows = [
        f"| {split} | {m['macro_f1']:.3f} | {m['accuracy']:.3f} | {m['expected_calibration_error']:.3f} | "
        f"{m['review_share']:.1%} | {m['accuracy_without_review']:.3f} |"
        for split, m in record.metrics.items()
    ]
    by_label = [
        f"| `{label}` | {precision:.3f} | {recall:.3f} | {f1:.3f} |"
        for label, precision, recall, f1 in result.test_by_label
    ]
    hashes = [f"- `data/{entry.name}/{split}.jsonl`: {digest}" for split, digest in record.data_sha256.items()]
    return "\n".join(
        [
            "---",
            f"base_model: {record.base}",
            "library_name: peft",
            f"pipeline_tag: {entry.task}",
            "---",
            "",
            f"# {entry.name}",
            "",
            f"{entry.description}. A LoRA adapter and a classification head on `{record.base}`,",
            f"written by `luxe train {entry.name}` after {record.epochs} epochs. Labels: {', '.join(entry.labels)}.",
            "",
            "## Metrics",
            "",
            f"Probabilities are divided by the temperature {record.temperature:.3f} (fitted on validation) before the",
            f"softmax. An answer under {entry.review_threshold} goes to a person (review share).",
            "",
            "| split | macro-F1 | accuracy | calibration error | review share | accuracy without review |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
            "| label (test) | precision | recall | F1 |",
            "|---|---|---|---|",
            *by_label,
            "",
            "## Data",
            "",
            f"Made for this project; see `data/{entry.name}/README.md`. SHA-256:",
            "",
            *hashes,
            f"- base `model.safetensors`: {record.base_sha256}",
            "",
        ]
    )
