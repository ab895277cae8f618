"""The files of a checkpoint: where they come from, and what is refused before any library reads them."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

from luxe.errors import UserError
from luxe_training import base, checkpoint, hub

__all__ = ["Files", "check", "find", "parse", "table"]

_ON_THE_HUB = re.compile(r"(?P<repository>[\w.-]+(/[\w.-]+)?)(@(?P<revision>[\w.-]+))?")
_INDEX = "model.safetensors.index.json"
# Enough for every encoder there is. A file that asks for more is broken or hostile, and building it would not end.
_MOST_LAYERS, _MOST_OF_ANYTHING, _MOST_BYTES = 1000, 2**24, 2**24
_MODULES = re.compile(
    r"layers|groups|group_num|heads|blocks|block_sizes|networks|repeats|experts|depths?$|_(layer|head)$"
)
"""Keys that say how often something is built, under any architecture's name for it."""
_NESTED = (("num_hidden_groups", "inner_group_num"), ("num_hidden_layers", "num_feedforward_networks"))
"""Of these the second is built in each of the first."""
_NAMES = ("id2label", "label2id")
"""Tables whose keys are the model's own: a label may be called anything."""
_RUNS_CODE = "luxe runs no code of a checkpoint"


@dataclasses.dataclass(frozen=True)
class Files:
    """A checkpoint whose files may be read."""

    folder: Path
    revision: str | None
    """Commit on the hub; None for a folder of this machine."""
    adapter: bool
    """A LoRA adapter, which needs its base; else a whole model."""
    sha256: dict[str, str]
    """By path within the folder, sorted."""


def find(place: Path | str) -> Files:
    """Find a checkpoint: a folder, or ``organisation/model@<commit>`` of the hub; reads its JSON files and hashes all.

    Raises:
        UserError: there is none; or pickled weights only, remote code, numbers no encoder has, or links to elsewhere.
    """
    folder = Path(place)
    if not folder.exists():
        folder = _from_hub(str(place))
    if not folder.is_dir():
        raise UserError(f"no checkpoint: {folder} is not a folder")
    found = check(folder)
    adapter = checkpoint.ADAPTER in found
    if not adapter and not {"model.safetensors", _INDEX} & set(found):
        pickled = sorted(p.name for kind in ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt") for p in folder.glob(kind))
        reason = f" ({pickled[0]} is pickled, and unpickling runs code)" if pickled else ""
        raise UserError(f"{folder} holds no {checkpoint.ADAPTER} and no model.safetensors{reason}")
    return Files(folder, hub.commit(folder), adapter, {name: base.sha256(path) for name, path in found.items()})


def check(folder: Path) -> dict[str, Path]:
    """Return the files that may be read, by path within ``folder``, sorted.

    Raises:
        UserError: as `find`, but for weights that lack.
    """
    root = hub.root(folder)
    found = {str(p.relative_to(folder)): p for pattern in hub.FILES for p in folder.glob(pattern)}
    for path in found.values():
        if not path.resolve().is_relative_to(root):
            raise UserError(f"{path} is a link that leaves {root}")
        if not path.is_file():
            raise UserError(f"{path} is not a file")
    if "config.json" not in found:
        raise UserError(f"no checkpoint: {folder} holds no config.json")
    _check_config(folder / "config.json")
    if "tokenizer_config.json" in found and "auto_map" in table(folder / "tokenizer_config.json"):
        raise UserError(f"{folder}/tokenizer_config.json asks for remote code (auto_map); {_RUNS_CODE}")
    if "adapter_config.json" in found and checkpoint.ADAPTER not in found:
        # transformers would load whatever base the file names.
        raise UserError(f"{folder} holds adapter_config.json and no {checkpoint.ADAPTER}")
    if _INDEX in found and "model.safetensors" not in found:
        _check_shards(folder, found)
    return dict(sorted(found.items()))


def parse(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: it is none, or of a size that no such file has.
    """
    if path.stat().st_size > _MOST_BYTES:
        raise UserError(f"{path} has over {_MOST_BYTES} bytes")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not JSON: {error}") from None


def table(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Raises:
        UserError: it does not.
    """
    value = parse(path)
    if not isinstance(value, dict):
        raise UserError(f"{path} is not a config: not a table")
    return value


def _from_hub(place: str) -> Path:
    match = _ON_THE_HUB.fullmatch(place)
    if match and match["revision"]:
        if not hub.COMMIT.fullmatch(match["revision"]):
            raise UserError(
                f"{place} is not pinned: {match['revision']} can move; "
                f"name a commit, {match['repository']}@<40 hexadecimal digits>"
            )
        return hub.snapshot(match["repository"], match["revision"])
    advice = f"; a model of the hub is named with its commit, {place}@<40 hexadecimal digits>" if match else ""
    raise UserError(f"no checkpoint: the folder {place} does not exist; `luxe train` makes it{advice}")


def _check_config(path: Path) -> None:
    config = table(path)
    if "auto_map" in config:
        raise UserError(f"{path} asks for remote code (auto_map); {_RUNS_CODE}")
    for key in ("attn_implementation", "_attn_implementation"):
        if "/" in str(config.get(key, "")):  # names a kernel on the hub
            raise UserError(f"{path} asks for remote code ({key}); {_RUNS_CODE}")
    if config.get("quantization_config"):
        raise UserError(f"{path} is of a quantised model; luxe starts from the original's weights")
    tables = [config]
    while tables:  # a config may hold those of its parts
        own = tables.pop()
        tables += [value for key, value in own.items() if isinstance(value, dict) and key not in _NAMES]
        _check_numbers(path, own)


def _check_numbers(path: Path, config: dict[str, Any]) -> None:
    for key, value in config.items():
        built = _MODULES.search(key)
        most = _MOST_LAYERS if built else _MOST_OF_ANYTHING
        # How deep each stage is may stand in a list.
        for number in value if built and isinstance(value, list) else [value]:
            if isinstance(number, bool) or not isinstance(number, int | float):
                continue
            if not abs(number) <= most:  # so that NaN is refused too
                raise UserError(f"{path}: {key} is {number!r:.40}; luxe reads up to {most}")
    for pair in _NESTED:
        outer, inner = (config.get(key) for key in pair)
        if isinstance(outer, int) and isinstance(inner, int) and outer * inner > _MOST_LAYERS:
            raise UserError(f"{path}: {' times '.join(pair)} is {outer * inner}; luxe reads up to {_MOST_LAYERS}")


def _check_shards(folder: Path, found: dict[str, Path]) -> None:
    shards = table(folder / _INDEX).get("weight_map")
    if not isinstance(shards, dict):
        raise UserError(f"{folder}/{_INDEX} has no weight_map")
    for name in sorted({str(shard) for shard in shards.values()}):
        if name not in found or not name.endswith(".safetensors"):
            raise UserError(f"{folder}/{_INDEX} names {name!r}, which is no shard in {folder}")
