"""The checkpoint that is exported: a LoRA adapter, or a whole model; from a folder or from the hub."""

from __future__ import annotations

import dataclasses
import inspect
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luxe.errors import UserError
from luxe.schema import Entry
from luxe_export.checkpoint import declared, files
from luxe_training import base, checkpoint, hub

__all__ = ["Source", "load"]

_CLASSES = {"token-classification": "AutoModelForTokenClassification", "feature-extraction": "AutoModel"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source(declared.Declared):
    """A PyTorch model that is ready to be exported, with what its checkpoint declares."""

    model: Any
    """transformers model in evaluation mode, fp32; its logits are calibrated."""
    tokenizer: Any
    """Fast tokenizer."""
    entry: Entry
    config: Any
    """transformers config of the model."""
    revision: str | None = None
    """Commit of the checkpoint on the hub; None for a folder of this machine."""
    base_revision: str | None = None
    """Commit of an adapter's base on the hub."""
    sha256: dict[str, str] = dataclasses.field(default_factory=dict)
    """Of the checkpoint's files, by path within its folder; those of an adapter's base start with ``base/``."""

    def answer(self, tokens: dict[str, list[int]]) -> NDArray[np.float32]:
        """Return PyTorch's raw answer to one row, as the tokenizer gives it.

        Logits [L], or [T, L] for token-classification; or the embedding [D], pooled and normalised as in the graph.
        """
        import torch

        known = inspect.signature(self.model.forward).parameters
        row = {name: torch.tensor([list(ids)]) for name, ids in tokens.items() if name in known}
        with torch.inference_mode():
            answer = self.model(**row)
            if self.entry.task != "feature-extraction":
                return np.asarray(answer.logits[0], dtype=np.float32)
            hidden = answer.last_hidden_state[0]
            mask = row["attention_mask"][0].unsqueeze(1)
            pooled = hidden[0] if self.entry.pooling == "cls" else (hidden * mask).sum(0) / mask.sum().clamp(min=1e-9)
            if self.entry.normalize:
                pooled = torch.nn.functional.normalize(pooled, dim=0)
            return np.asarray(pooled, dtype=np.float32)


def load(entry: Entry, place: Path | str | files.Files) -> Source:
    """Load a checkpoint; merge an adapter and fold its temperature into the head.

    Dividing the last layer's weights and bias by T is temperature scaling, and every user of the engine gets it,
    a raw tensor client too.

    Raises:
        UserError: it cannot be found or read (see `luxe_export.checkpoint.files`), or is not what the catalogue says.
    """
    found = place if isinstance(place, files.Files) else files.find(place)  # before imports that take seconds
    folder = found.folder
    if found.adapter and entry.base is None:
        raise UserError(f"{folder} is an adapter: catalog/{entry.name}.toml needs a [base] table")
    config = _config(folder)
    facts = declared.read(entry, config, found)
    hashes, weights = dict(found.sha256), folder
    if found.adapter and entry.base:
        weights = base.locate(entry.base)
        of_base = files.check(weights)
        hashes |= {f"base/{name}": base.sha256(path) for name, path in of_base.items()}
    model, missing = _model(entry, config, weights)
    if found.adapter:
        model = _merge(model, folder, missing)
    elif missing:
        raise UserError(f"{weights} lacks weights: {', '.join(missing)}")
    source = Source(
        model=model.eval(),
        tokenizer=_tokenizer(weights, config),
        entry=entry,
        config=model.config,
        revision=found.revision,
        base_revision=hub.commit(weights) if found.adapter else None,
        sha256=dict(sorted(hashes.items())),
        **dataclasses.asdict(facts),
    )
    _check_length(source, folder)
    return source


def _config(folder: Path) -> Any:
    from transformers import AutoConfig
    from transformers.utils import logging

    logging.set_verbosity_error()
    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # a hostile file reaches every kind
        raise UserError(f"{folder}/config.json is not a transformers config: {_line(error)}") from None


def _model(entry: Entry, config: Any, folder: Path) -> tuple[Any, list[str]]:
    """Return the model and the names of weights that its files lack."""
    import torch
    import transformers

    kind = getattr(transformers, _CLASSES.get(entry.task, "AutoModelForSequenceClassification"))
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of torch, when transformers imports DeBERTa
            wanted = sum(parameter.numel() for parameter in kind.from_config(config).parameters())
        held = _weights(folder)
        if wanted > 2 * held:  # before it is allocated
            raise UserError(f"{folder}/config.json describes {wanted} weights; the files hold {held}")
        model, report = kind.from_pretrained(
            folder,
            config=config,
            use_safetensors=True,
            local_files_only=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except UserError:
        raise
    except Exception as error:  # of safetensors, of transformers, of a shape that torch cannot make
        raise UserError(f"cannot load {folder}: {_line(error)}") from None
    unused = ("pooler.",) if entry.task == "feature-extraction" else ()
    return model, sorted(name for name in report["missing_keys"] if not name.startswith(unused))


def _weights(folder: Path) -> int:
    """How many numbers the weights' files hold, by their headers."""
    from safetensors import safe_open

    single = folder / "model.safetensors"
    total = 0
    for path in [single] if single.is_file() else sorted(folder.glob("model-*-of-*.safetensors")):
        with safe_open(path, framework="pt") as file:
            total += sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    return total


def _tokenizer(folder: Path, config: Any) -> Any:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # the tokenizers package raises bare ones
        raise UserError(f"cannot load the tokenizer of {folder}: {_line(error)}") from None
    if not tokenizer.is_fast:
        raise UserError(f"{folder} has no fast tokenizer (tokenizer.json)")
    if tokenizer.pad_token_id is None:
        raise UserError(f"{folder} has a tokenizer without a padding token; texts cannot share a batch")
    largest = max(tokenizer.get_vocab().values())
    if largest >= config.vocab_size:
        raise UserError(f"{folder}: the tokenizer's ids reach {largest}, the model knows {config.vocab_size}")
    return tokenizer


def _merge(model: Any, folder: Path, missing: list[str]) -> Any:
    """Return the base with the adapter merged and the temperature folded in."""
    from peft import PeftModel
    from safetensors import safe_open

    kind = files.table(folder / "adapter_config.json").get("peft_type")
    if kind != "LORA":
        raise UserError(f"{folder}/adapter_config.json is of the kind {kind}; luxe merges LORA")
    try:
        with safe_open(folder / checkpoint.ADAPTER, framework="pt") as file:
            held = {name.removeprefix("base_model.model.") for name in file.keys()}  # noqa: SIM118
        with warnings.catch_warnings(record=True) as notes:
            warnings.simplefilter("always")
            merged = PeftModel.from_pretrained(model, folder, local_files_only=True).merge_and_unload()
    except Exception as error:  # of safetensors, of peft, of shapes that do not fit
        raise UserError(f"cannot load the adapter {folder}: {_line(error)}") from None
    if any("missing adapter keys" in str(note.message) for note in notes):
        raise UserError(f"{folder}/{checkpoint.ADAPTER} lacks weights that adapter_config.json names")
    lacking = [name for name in missing if name not in held]
    if lacking:
        raise UserError(f"neither {folder} nor its base has {', '.join(lacking)}")
    if (folder / "training.json").exists():  # an adapter that others trained has none
        _fold_temperature(merged, checkpoint.read(folder).temperature, folder)
    return merged


def _fold_temperature(model: Any, temperature: float, folder: Path) -> None:
    from torch import nn, no_grad

    heads = [m for m in model.modules() if isinstance(m, nn.Linear) and m.out_features == model.config.num_labels]
    if not heads:
        raise UserError(f"{folder}/training.json has a temperature; its model has no classifier to fold it into")
    with no_grad():
        for parameter in heads[-1].parameters():  # not every head has a bias
            parameter /= temperature


def _check_length(source: Source, folder: Path) -> None:
    length = source.entry.max_length
    token = 0 if source.tokenizer.pad_token_id else 1  # positions of some models count only what is not padding
    try:
        answer = source.answer({"input_ids": [token] * length, "attention_mask": [1] * length})
    except (IndexError, RuntimeError):
        raise UserError(
            f"{folder} cannot read {length} tokens, which catalog/{source.entry.name}.toml has as max_length"
        ) from None
    if not np.isfinite(answer).all():
        raise UserError(f"{folder} answers with numbers that are not finite")


def _line(error: Exception) -> str:
    """What a library said, as one line of bearable length."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
