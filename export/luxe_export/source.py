"""The checkpoint that is exported: a LoRA adapter folder, or a whole model's folder."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from luxe.catalog import Entry
from luxe.errors import UserError
from luxe_training import base, checkpoint

__all__ = ["Source", "load"]


@dataclasses.dataclass(frozen=True)
class Source:
    """A PyTorch model that is ready to be exported."""

    model: Any
    """transformers model in evaluation mode; its logits are calibrated."""
    tokenizer: Any
    """Fast tokenizer."""


def load(entry: Entry, folder: Path) -> Source:
    """Load ``folder``; merge the adapter and fold the temperature into the head.

    Dividing the last layer's weights and bias by T is temperature scaling, and every user of the engine gets it,
    a raw tensor client too.

    Raises:
        UserError: no such folder, pickled weights, remote code, no labels, or labels other than the catalogue's.
    """
    _check_files(folder)  # before imports that take seconds

    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()
    try:
        config = AutoConfig.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}/config.json is not a transformers config: {error}") from None
    _check_labels(entry, config, folder)
    adapter = (folder / checkpoint.ADAPTER).is_file()
    if adapter and entry.base is None:
        raise UserError(f"{folder} is an adapter: catalog/{entry.name}.toml needs a [base] table")
    weights = base.locate(entry.base) if adapter and entry.base else folder
    try:
        tokenizer = AutoTokenizer.from_pretrained(weights)
        model, report = AutoModelForSequenceClassification.from_pretrained(
            weights, config=config, use_safetensors=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise UserError(f"cannot load {weights}: {error}") from None
    if not adapter and report["missing_keys"]:
        raise UserError(f"{weights} lacks weights: {', '.join(sorted(report['missing_keys']))}")
    if not tokenizer.is_fast:
        raise UserError(f"{weights} has no fast tokenizer (tokenizer.json)")
    if tokenizer.pad_token_id is None:
        raise UserError(f"{weights} has a tokenizer without a padding token; texts cannot share a batch")
    if adapter:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, folder).merge_and_unload()
        _fold_temperature(model, checkpoint.read(folder).temperature)
    return Source(model.eval(), tokenizer)


def _check_files(folder: Path) -> None:
    if not folder.is_dir():
        raise UserError(f"no checkpoint: the folder {folder} does not exist; `luxe train` makes it")
    if not (folder / "config.json").is_file():
        raise UserError(f"no checkpoint: {folder} holds no config.json")
    if not any((folder / name).is_file() for name in (checkpoint.ADAPTER, "model.safetensors")):
        pickled = [p.name for p in (*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth"))]
        reason = f" ({pickled[0]} is pickled, and unpickling runs code)" if pickled else ""
        raise UserError(f"{folder} holds no {checkpoint.ADAPTER} and no model.safetensors{reason}")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{folder}/config.json is not JSON: {error}") from None
    if not isinstance(config, dict):
        raise UserError(f"{folder}/config.json is not a transformers config: not a table")
    if "auto_map" in config:
        raise UserError(f"{folder}/config.json asks for remote code (auto_map); luxe runs none")


def _check_labels(entry: Entry, config: Any, folder: Path) -> None:
    labels = tuple(config.id2label[i] for i in sorted(config.id2label))
    if all(label == f"LABEL_{i}" for i, label in enumerate(labels)):
        raise UserError(f"{folder}/config.json has no labels: set id2label to {', '.join(entry.labels)}")
    if labels != entry.labels:
        raise UserError(
            f"{folder}/config.json has the labels {', '.join(labels)}; "
            f"catalog/{entry.name}.toml has {', '.join(entry.labels)}; both must agree, in order"
        )


def _fold_temperature(model: Any, temperature: float) -> None:
    from torch import nn, no_grad

    heads = [m for m in model.modules() if isinstance(m, nn.Linear) and m.out_features == model.config.num_labels]
    with no_grad():
        heads[-1].weight /= temperature
        heads[-1].bias /= temperature
