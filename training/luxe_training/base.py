"""The pretrained encoder: an installed package that carries it, a local folder, or the hub; always checked."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from luxe.errors import UserError
from luxe.repository import sha256
from luxe.schema import Base
from luxe_training import hub

__all__ = ["locate", "sha256"]


def locate(base: Base) -> Path:
    """Return a folder with the base model's files, weights as ``model.safetensors``; `hub.commit` tells its commit.

    Raises:
        UserError: it cannot be had, or the weights are not the ones that the catalogue names.
    """
    folder = _package(base.package) or _local(base.hub_id) or _hub(base)
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise UserError(f"{folder} holds no model.safetensors; luxe loads no other format")
    found = sha256(weights)
    if found != base.sha256:
        raise UserError(f"{weights} has sha256 {found}; the catalogue wants {base.sha256}")
    return folder


def _package(name: str | None) -> Path | None:
    try:
        spec = importlib.util.find_spec(name) if name else None
    except ModuleNotFoundError:  # of a parent package
        spec = None
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "model"


def _local(path: str) -> Path | None:
    folder = Path(path)
    return folder if folder.is_dir() else None


def _hub(base: Base) -> Path:
    try:
        return hub.snapshot(base.hub_id, base.revision)
    except UserError as error:
        package = f"; or install the package {base.package}" if base.package else ""
        raise UserError(f"{error}{package}") from None
