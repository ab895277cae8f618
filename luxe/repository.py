"""The model repository on disk: what lies where, and how a change that was cut off is ended.

    .lock          see `luxe.access`
    .NAME.json     the last version number given, and the change that is under way
    NAME/          config.pbtxt  labels.txt  <version>/
    NAME-engine/   config.pbtxt  <version>/

Triton ignores files beside the entries. A change is written down before it begins. When its process is killed, the
note is still there, and the next one that may write ends the change: a version whose text entry is in place is
completed, any other is taken away. Only what the note names is touched, so that tampering is found and not repaired.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Any

import pydantic

from luxe import plain_file
from luxe.errors import UserError
from luxe.manifest import MANIFEST, MAX_BYTES, File, Manifest, engine_name, parse

__all__ = [
    "State",
    "beside",
    "discard",
    "highest",
    "is_version",
    "latest_manifest",
    "leftovers",
    "manifests",
    "prefix",
    "recover",
    "save_state",
    "settle",
    "sha256",
    "state",
    "state_name",
    "sync",
    "versions",
]

_STATE_BYTES = 2**20

_END = 2**62
"""Every version number is under it."""

_Version = Annotated[int, pydantic.Field(ge=1, lt=_END)]


class State(pydantic.BaseModel):
    """What is remembered of a model, whatever becomes of its folders."""

    model_config = pydantic.ConfigDict(strict=True, frozen=True, extra="forbid")

    last: Annotated[int, pydantic.Field(ge=0, lt=_END)] = 0
    """The highest version number ever given."""
    adding: _Version | None = None
    removing: tuple[_Version, ...] = ()

    @property
    def pending(self) -> bool:
        return self.adding is not None or bool(self.removing)


def versions(entry: Path) -> list[int]:
    """Return the versions of an entry, oldest first: folders that Triton reads as such."""
    if not entry.is_dir():
        return []
    return sorted(int(p.name) for p in entry.iterdir() if is_version(p.name) and p.is_dir())


def latest_manifest(repository: Path, model: str) -> dict[str, Any] | None:
    """Return the newest manifest of a model that can be used; None when there is none."""
    found = manifests(repository, model)
    return found[max(found)].model_dump() if found else None


def manifests(repository: Path, model: str) -> dict[int, Manifest]:
    """Return the manifests of a model by version, oldest first, without those spoilt or of another version."""
    found = {}
    for version in versions(repository / model):
        with contextlib.suppress(OSError, ValueError):
            path = repository / model / str(version) / MANIFEST
            manifest = parse(plain_file.read(path, most=MAX_BYTES))
            if (manifest.model, manifest.version) == (model, version):
                found[version] = manifest
    return found


def highest(repository: Path, model: str) -> int:
    """Return the highest version number that was ever given to a model or that one of its folders has.

    Raises:
        UserError: no number may follow it, or the model's note is spoilt.
    """
    said = {state(repository, model).last: repository / state_name(model)}
    for entry in (repository / model, repository / engine_name(model)):
        said.update({version: entry / str(version) for version in versions(entry)})
    last = max(said)
    if last + 1 >= _END:
        raise UserError(f"{said[last]}: no version number may follow this one: remove it")
    return last


def state(repository: Path, model: str) -> State:
    """Return what is remembered of a model.

    Raises:
        UserError: the note is spoilt.
    """
    path = repository / state_name(model)
    try:
        return State.model_validate_json(plain_file.read(path, most=_STATE_BYTES))
    except FileNotFoundError:
        return State()
    except ValueError:
        raise UserError(f"{path} is spoilt: remove it; numbers then go on from the folders that are there") from None


def state_name(model: str) -> str:
    """Return the name of the file that remembers a model."""
    return f".{model}.json"


def save_state(repository: Path, model: str, new: State | None) -> None:
    """Remember ``new``; with None forget the model, as one that never was."""
    path = repository / state_name(model)
    if new is None:
        path.unlink(missing_ok=True)
    else:
        temporary = repository / f"{prefix(repository)}{secrets.token_hex(4)}"
        _write(temporary, new.model_dump_json().encode() + b"\n")
        temporary.replace(path)
    sync(repository)


def recover(repository: Path, model: str) -> None:
    """End the change that a model's state names; the caller holds the repository alone."""
    old = state(repository, model)
    text, engine = repository / model, repository / engine_name(model)
    for version in old.removing:
        discard(repository, text, version)
        discard(repository, engine, version)
    if old.adding is not None and not (text / str(old.adding)).is_dir():
        discard(repository, engine, old.adding)
    newest = versions(text)[-1:]
    # With a spoilt manifest nothing is right or wrong here; `luxe verify` names it.
    with contextlib.suppress(ValueError, FileNotFoundError, IndexError):
        settle(repository, parse(plain_file.read(text / str(newest[0]) / MANIFEST, most=MAX_BYTES)))
    save_state(repository, model, State(last=max(old.last, old.adding or 0)))


def settle(repository: Path, manifest: Manifest) -> None:
    """Give the files beside an entry's versions what this version has as its own copies."""
    for name in manifest.entries:
        entry = repository / name
        shared = manifest.shared(name)
        own = entry / str(manifest.version)
        for file, facts in shared.items():
            if sha256(own / file) == facts.sha256 and not _same(entry / file, facts):
                temporary = entry / f"{prefix(repository)}{secrets.token_hex(4)}"
                _write(temporary, (own / file).read_bytes())
                temporary.replace(entry / file)
        # What only older versions share, such as labels of a model that has none any more.
        for stale in [p for p in entry.iterdir() if p.is_file() and p.name not in shared]:
            if any((entry / str(v) / stale.name).is_file() for v in versions(entry)):
                stale.unlink()
        sync(entry)


def discard(repository: Path, entry: Path, version: int) -> None:
    """Remove a version in one step, and its entry with it when it was the only one."""
    # Triton does not start on a model without versions.
    last = versions(entry) == [version]
    path = entry if last else entry / str(version)
    if not path.is_dir():
        return
    scratch = Path(tempfile.mkdtemp(prefix=prefix(repository), dir=beside(repository) if last else entry))
    path.rename(scratch / path.name)
    sync(path.parent)
    shutil.rmtree(scratch, ignore_errors=True)


def prefix(repository: Path) -> str:
    """Return what the names of unfinished files and folders begin with; Triton ignores them."""
    return f".{repository.resolve().name}-luxe-"


def beside(repository: Path) -> Path:
    """Return a folder on the repository's file system: its parent, or where it is a mount itself, it."""
    real = repository.resolve()
    return real.parent if real.parent.stat().st_dev == real.stat().st_dev else real


def leftovers(repository: Path) -> list[Path]:
    """Return what killed processes left inside the repository."""
    folders = (repository, *(p for p in repository.iterdir() if p.is_dir()))
    return [left for folder in folders for left in folder.glob(f"{prefix(repository)}*")]


def sha256(path: Path) -> str:
    """Return the hash of a file's content as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def sync(folder: Path) -> None:
    """Make what was renamed in a folder outlive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_version(name: str) -> bool:
    return name.isascii() and name.isdecimal() and name[0] != "0"


def _same(path: Path, facts: File) -> bool:
    return path.is_file() and not path.is_symlink() and sha256(path) == facts.sha256


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
