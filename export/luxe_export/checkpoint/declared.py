"""What a checkpoint says of its own task, held against the catalogue."""

from __future__ import annotations

import dataclasses
from pathlib import Path, PurePosixPath
from typing import Any

from luxe.errors import UserError
from luxe.schema import Entry
from luxe_export.checkpoint import files
from luxe_export.checkpoint.files import Files

__all__ = ["Declared", "read"]

_HEADS = {"token-classification": "ForTokenClassification", "feature-extraction": None}
_ACTIVATIONS = {"Sigmoid": "sigmoid", "Identity": "identity"}
# What sentence-transformers would do to a text before the tokenizer sees it.
_TEXT_CHANGES = {
    "sentence_bert_config.json": "do_lower_case",
    "config_sentence_transformers.json": "default_prompt_name",
}


@dataclasses.dataclass(frozen=True)
class Declared:
    """What the catalogue does not say, because only the checkpoint can."""

    ranking_activation: str = "sigmoid"
    """"sigmoid" or "identity"; of a text-ranking model's logit."""
    entailment_id: int | None = None
    contradiction_id: int | None = None
    """Places of an NLI model's two labels; for zero-shot-classification."""


def read(entry: Entry, config: Any, found: Files) -> Declared:
    """Check ``config`` (transformers) and the checkpoint's files against the catalogue.

    Raises:
        UserError: they disagree, or lack what the task needs.
    """
    folder = found.folder
    _check_head(entry, config, folder)
    if entry.task in ("text-classification", "token-classification"):
        _check_labels(entry, config, folder)
    if entry.task == "text-classification" and config.problem_type not in (None, entry.problem_type):
        raise UserError(
            f"{folder}/config.json has the problem_type {config.problem_type}; "
            f"catalog/{entry.name}.toml has {entry.problem_type}"
        )
    if entry.task == "feature-extraction":
        _check_modules(entry, found)
    if entry.task == "text-ranking":
        return Declared(ranking_activation=_ranking_activation(config, folder))
    if entry.task == "zero-shot-classification":
        return Declared(
            entailment_id=_nli_id(config, folder, "entail"), contradiction_id=_nli_id(config, folder, "contra")
        )
    return Declared()


def _check_head(entry: Entry, config: Any, folder: Path) -> None:
    """The heads' weights can share names and shapes, so a wrong one would load."""
    wanted = _HEADS.get(entry.task, "ForSequenceClassification")
    names = config.architectures or []
    if not isinstance(names, list):
        raise UserError(f"{folder}/config.json: architectures must be a list of names, not {names!r:.40}")
    for name in names:
        if wanted and "For" in str(name) and not str(name).endswith(wanted):
            raise UserError(f"{folder}/config.json is of a {name}; {entry.task} needs one {wanted}")


def _check_labels(entry: Entry, config: Any, folder: Path) -> None:
    if sorted(config.id2label) != list(range(len(config.id2label))):
        raise UserError(f"{folder}/config.json: id2label must count from 0 without gaps")
    labels = tuple(str(config.id2label[i]) for i in sorted(config.id2label))
    if len(labels) == len(entry.labels) == 1:
        return  # nothing to confuse; a regression's one output rarely has a name
    if all(label == f"LABEL_{i}" for i, label in enumerate(labels)):
        raise UserError(f"{folder}/config.json has no labels: set id2label to {', '.join(entry.labels)}")
    if labels != entry.labels:
        raise UserError(
            f"{folder}/config.json has the labels {', '.join(labels)}; "
            f"catalog/{entry.name}.toml has {', '.join(entry.labels)}; both must agree, in order"
        )


def _nli_id(config: Any, folder: Path, start: str) -> int:
    names = [*(config.label2id or {}).items(), *((name, i) for i, name in (config.id2label or {}).items())]
    found = set()
    for given in (place for name, place in names if str(name).lower().startswith(start)):
        place = int(given) if isinstance(given, str) and given.isdecimal() else given
        if isinstance(place, bool) or not isinstance(place, int) or not 0 <= place < config.num_labels:
            raise UserError(
                f"{folder}/config.json: a label's place is 0 to {config.num_labels - 1}, not {given!r:.40} (label2id)"
            )
        found.add(place)
    if len(found) != 1:
        labels = ", ".join(str(name) for name in config.id2label.values())
        raise UserError(
            f"{folder}/config.json is not of an NLI model: one label must start with {start!r}, not of {labels}"
        )
    return found.pop()


def _ranking_activation(config: Any, folder: Path) -> str:
    """As sentence-transformers' CrossEncoder chooses it: by name, the sigmoid where none is given."""
    if config.num_labels != 1:
        raise UserError(f"{folder}/config.json has {config.num_labels} labels; text-ranking needs a model with one")
    given = getattr(config, "sentence_transformers", None)
    name = given.get("activation_fn") if isinstance(given, dict) else None
    name = name or getattr(config, "sbert_ce_default_activation_function", None) or "Sigmoid"
    activation = _ACTIVATIONS.get(str(name).rpartition(".")[2])
    if activation is None:
        raise UserError(f"{folder}/config.json: the activation {name} is not one of {', '.join(_ACTIVATIONS)}")
    return activation


def _check_modules(entry: Entry, found: Files) -> None:
    """A sentence-transformers checkpoint says how tokens become an embedding; others leave it to the catalogue."""
    folder = found.folder
    modules = _modules(folder)
    if not modules:
        return
    kinds = [kind for kind, _ in modules]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise UserError(f"{folder}/modules.json: luxe reads a Transformer, its Pooling and Normalize, not {kinds}")
    if modules[0][1]:
        raise UserError(
            f"{folder}/modules.json: luxe reads a Transformer of the folder itself, not of {modules[0][1]!r}"
        )
    name = str(PurePosixPath(modules[1][1]) / "config.json")
    if name not in found.sha256:  # so that nothing decides here that `files.check` has not seen
        raise UserError(f"{folder}/modules.json: {modules[1][1]!r} holds no pooling (like 1_Pooling/config.json)")
    pooling = _pooling(folder / name)
    normalize = "Normalize" in kinds
    if (pooling, normalize) != (entry.pooling, entry.normalize):
        raise UserError(
            f"{folder}/modules.json: pooling is {pooling} and normalize {str(normalize).lower()}; "
            f"catalog/{entry.name}.toml has {entry.pooling} and {str(entry.normalize).lower()}"
        )
    for name, key in _TEXT_CHANGES.items():
        path = folder / name
        if path.is_file() and files.table(path).get(key):
            raise UserError(f"{path}: luxe gives the model its texts as they are, without {key}")


def _modules(folder: Path) -> list[tuple[str, str]]:
    """Kind and path of each module, in order."""
    path = folder / "modules.json"
    if not path.is_file():
        return []
    rows = files.parse(path)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{path} is not a list of modules")
    for row in rows:
        if not str(row.get("type")).startswith("sentence_transformers."):
            raise UserError(f"{path} asks for remote code ({row.get('type')}); luxe runs no code of a checkpoint")
    return [(str(row["type"]).rpartition(".")[2], str(row.get("path", ""))) for row in rows]


def _pooling(path: Path) -> str:
    config = files.table(path)
    named = config.get("pooling_mode")  # since sentence-transformers 5.7; before it were switches
    modes = list(named) if isinstance(named, list) else [named] if named else []
    modes += [key.removeprefix("pooling_mode_") for key, on in config.items() if on and key.startswith("pooling_mode_")]
    if len(modes) != 1:
        raise UserError(f"{path}: luxe pools in one way, not in {len(modes)}")
    return {"mean_tokens": "mean", "cls_token": "cls"}.get(str(modes[0]), str(modes[0]))
