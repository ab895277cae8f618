"""Publishing: versions that only grow, each there as a whole or not at all.

    NAME/          config.pbtxt  labels.txt  <version>/{luxe.json, tokenizer.json, …, manifest.json}
    NAME-engine/   config.pbtxt  <version>/{model.onnx, …}

A version is written beside its place, in a folder that Triton ignores because its name is no number, and then
renamed. The engine goes first: until the text model's version is there, nobody asks for it. Each version keeps its own
copy of the files beside it, so that any version can become current again; `luxe.repository` brings those up to date,
also when the publisher is killed before it comes to it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luxe import access
from luxe import repository as store
from luxe.errors import UserError
from luxe.manifest import MANIFEST, NAME, SIGNATURE, File, Manifest, engine_name
from luxe.repository import State, latest_manifest

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = [
    "Parts",
    "add",
    "changing",
    "check_published",
    "check_writable",
    "latest_manifest",
    "parts_of",
    "publish",
]


@dataclasses.dataclass(frozen=True)
class Parts:
    """One entry of the repository: files by name, as bytes or as a file to copy."""

    name: str
    shared: Mapping[str, bytes]
    """Beside the versions, and a copy in each: config and labels."""
    version: Mapping[str, bytes | Path]
    """Inside the version."""


def parts_of(repository: Path, manifest: Manifest, entry: str) -> Parts:
    """Return what was published of an entry in a version, to publish it again."""
    folder = repository / entry / str(manifest.version)
    files = manifest.of(entry)
    return Parts(
        name=entry,
        shared={name: (folder / name).read_bytes() for name, file in files.items() if file.shared},
        version={name: folder / name for name, file in files.items() if not file.shared},
    )


def check_writable(repository: Path, model: str) -> None:
    """Make the repository, and try to write wherever `publish` will, before hours of work go into an export.

    Raises:
        UserError: it cannot be written.
    """
    folder = repository
    try:
        repository.mkdir(parents=True, exist_ok=True)
        for folder in (repository, *(_staging(repository, name) for name in (model, engine_name(model)))):
            with tempfile.TemporaryFile(dir=folder):
                pass
    except OSError as error:
        raise UserError(f"cannot publish in {repository}: {folder} is not writable: {error.strerror}") from None


def check_published(repository: Path, model: str) -> None:
    """Look whether there is a model of this name; its engine's entry is none.

    Raises:
        UserError: there is none.
    """
    if not re.fullmatch(NAME, model) or model.endswith(engine_name("")):
        raise UserError(
            f"{model!r} is no model's name: it has small letters, digits and '-', and no '-engine' at its end"
        )
    if not store.versions(repository / model):
        raise UserError(f"{model} was never published in {repository}")


def publish(
    repository: Path,
    engine: Parts,
    text: Parts,
    manifest: Mapping[str, Any],
    *,
    key: Ed25519PrivateKey | None = None,
) -> int:
    """Publish the two entries of a model as one new version, and return its number.

    Args:
        repository: made when it is not there.
        engine: the entry named ``NAME-engine``.
        text: the entry named ``NAME``.
        manifest: what the manifest shall say beside model, version, rollback_of and files, which are added here.
        key: signs the manifest.

    Raises:
        UserError: the repository is not writable; it keeps what it had.
    """
    check_writable(repository, text.name)
    with changing(repository):
        return add(repository, engine, text, manifest, key=key)


@contextlib.contextmanager
def changing(repository: Path) -> Iterator[None]:
    """Hold the repository alone; what the system refuses becomes a UserError."""
    try:
        with access.writing(repository):
            yield
    except OSError as error:
        # A write that fails, on a full disk say, names no file.
        where = f"{error.filename}: " if error.filename else ""
        raise UserError(f"cannot change {repository}: {where}{error.strerror}") from None


def add(
    repository: Path,
    engine: Parts,
    text: Parts,
    manifest: Mapping[str, Any],
    *,
    key: Ed25519PrivateKey | None = None,
    rollback_of: int | None = None,
) -> int:
    """Do what `publish` does, for a caller that holds the repository."""
    if engine.name != engine_name(text.name) or text.name.endswith(engine_name("")):
        raise UserError(f"a model's engine is named NAME-engine: {text.name!r} and {engine.name!r} do not fit")
    remembered = (repository / store.state_name(text.name)).exists()
    old = store.state(repository, text.name)
    version = store.highest(repository, text.name) + 1
    shown = False
    store.save_state(repository, text.name, old.model_copy(update={"adding": version}))
    try:
        with contextlib.ExitStack() as staged:
            # Everything is written before anything is shown.
            entries = [staged.enter_context(_staged(repository, parts, version)) for parts in (engine, text)]
            own = {"model": text.name, "version": version, "rollback_of": rollback_of}
            whole = Manifest(**{**manifest, **own, "files": {p: f for e in entries for p, f in e.files.items()}})
            described = whole.to_bytes()
            _write(entries[1].folder / MANIFEST, described)
            if key is not None:
                _write(entries[1].folder / SIGNATURE, key.sign(described))
            for entry in entries:
                store.sync(entry.folder)
                shown = True
                entry.show()
            store.settle(repository, whole)
        store.save_state(repository, text.name, State(last=version))
    except BaseException:
        # Before anything was shown the number is as good as new; else it is used up.
        if shown:
            store.recover(repository, text.name)
        else:
            store.save_state(repository, text.name, old if remembered else None)
        raise
    return version


def _staging(repository: Path, name: str) -> Path:
    """Return the folder in which an entry's next version is written."""
    # Triton reads every folder of a repository as a model, so a new entry appears in one rename, complete.
    return repository / name if (repository / name).exists() else store.beside(repository)


@dataclasses.dataclass(frozen=True)
class _Entry:
    """An entry's new version, out of Triton's sight."""

    folder: Path
    files: dict[str, File]
    show: Callable[[], None]


@contextlib.contextmanager
def _staged(repository: Path, parts: Parts, version: int) -> Iterator[_Entry]:
    entry, parent = repository / parts.name, _staging(repository, parts.name)
    new = parent != entry
    scratch = Path(tempfile.mkdtemp(prefix=store.prefix(repository), dir=parent))
    folder = scratch / str(version)

    def show() -> None:
        if new:
            scratch.chmod(0o755)
            scratch.rename(entry)
        else:
            folder.rename(entry / str(version))
        store.sync(entry.parent if new else entry)

    try:
        folder.mkdir()
        files = {}
        for name, content in parts.version.items():
            files[f"{parts.name}/{version}/{name}"] = _write(folder / name, content)
        for name, content in parts.shared.items():
            facts = _write(folder / name, content)
            files[f"{parts.name}/{version}/{name}"] = facts.model_copy(update={"shared": True})
            if new:
                _write(scratch / name, content)
        yield _Entry(folder, files, show)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _write(path: Path, content: bytes | Path) -> File:
    with path.open("wb") as target:
        if isinstance(content, Path):
            with content.open("rb") as source:
                digest = hashlib.sha256()
                # Hashed as it passes: what the manifest says is what was written.
                while block := source.read(2**20):
                    digest.update(block)
                    target.write(block)
        else:
            digest = hashlib.sha256(content)
            target.write(content)
        target.flush()
        os.fsync(target.fileno())
        return File(sha256=digest.hexdigest(), size=target.tell())
