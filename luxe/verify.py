"""Whether a repository holds what was published, nothing else, and nothing that leads out of it.

Every file is compared with the manifest of its version, and every folder with what may be in it. The checks do not rest
on the manifest alone: links, special files, external data and versions of ONNX that the server cannot read are refused
also where the manifest was rewritten to fit. Whether the manifest itself is the publisher's, only a signature says.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from luxe import access, onnx_file, signing
from luxe import repository as store
from luxe.errors import UserError
from luxe.manifest import MANIFEST, MAX_BYTES, NAME, SIGNATURE, File, Manifest, ManifestError, engine_name, parse
from luxe.plain_file import Refused, oddity, opened, read

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

__all__ = ["LOADED", "Finding", "Report", "Version", "verify"]

LOADED = 2
"""Versions that a server may load of an engine; of a text model it loads one."""

_CONFIG = "config.pbtxt"

_SMALL = 2**20
"""No signature is larger, in bytes."""


@dataclasses.dataclass(frozen=True, order=True)
class Finding:
    """One thing that is not as it was published."""

    path: str
    """In the repository."""
    reason: str

    @property
    def line(self) -> str:
        """Path and reason in one line, whatever characters the path has."""
        return "".join(c if c.isprintable() else "?" for c in f"{self.path}: {self.reason}")


@dataclasses.dataclass(frozen=True)
class Version:
    """One version that was checked."""

    model: str
    version: int
    files: int
    size: int
    """Of all its files, in bytes."""
    signed: bool
    """Whether a signature is there; whether it is the right one is checked with a key only."""
    rollback_of: int | None


@dataclasses.dataclass(frozen=True)
class Report:
    """What `verify` saw."""

    versions: list[Version]
    """Those with a manifest that can be read."""
    findings: list[Finding]


def verify(
    repository: Path, *, key: Ed25519PublicKey | None = None, model: str | None = None, newest: int | None = None
) -> Report:
    """Check a repository against its manifests.

    The caller holds it with `luxe.access.reading`, or accepts to see a change half done.

    Args:
        repository: the folder with the entries.
        key: when given, every version must be signed with it.
        model: check only this one.
        newest: check only so many versions of each model, such as `LOADED`; the others are neither read nor counted.

    Raises:
        UserError: the repository cannot be read, or ``model`` is not in it.
    """
    real = repository.resolve()
    try:
        return _Check(real, key, newest).run(model)
    except OSError as error:
        raise UserError(f"cannot read {error.filename or repository}: {error.strerror}") from None


class _Check:
    def __init__(self, repository: Path, key: Ed25519PublicKey | None, newest: int | None) -> None:
        self._repository, self._key, self._newest = repository, key, newest
        self._versions: list[Version] = []
        self._findings: set[Finding] = set()

    def run(self, model: str | None) -> Report:
        with os.scandir(self._repository) as listing:
            names = {item.name: item for item in listing}
        entries = {name for name, item in names.items() if _is_folder(item) and re.fullmatch(NAME, name)}
        models = sorted({name.removesuffix(engine_name("")) for name in entries})
        if model is not None and model not in models:
            raise UserError(f"{model} is not in {self._repository}: run `luxe export {model}` first")
        for name, item in names.items():
            # What is remembered of a model stays when its folders go.
            note = name == access.LOCK or re.fullmatch(rf"\.{NAME}\.json", name)
            if name not in entries and not (note and _is_file(item)):
                self._found(name, self._stray(item, "not a part of the repository"))
        for each in models if model is None else [model]:
            self._model(each)
        return Report(self._versions, sorted(self._findings))

    def _found(self, path: str, reason: str) -> None:
        self._findings.add(Finding(path, reason))

    def _stray(self, item: os.DirEntry[str], otherwise: str) -> str:
        if item.name.startswith(store.prefix(self._repository)):
            return "left by a change that was cut off; whoever may write there ends it with `luxe verify`"
        return oddity(item.stat(follow_symlinks=False)) or otherwise

    def _model(self, model: str) -> None:
        with self._finding(store.state_name(model)):
            try:
                if store.state(self._repository, model).pending:
                    raise Refused("a change was cut off; whoever may write there ends it with `luxe verify`")
            except UserError:
                raise Refused("spoilt; remove it, and numbers go on from the folders that are there") from None
        present = {}
        for entry, other in ((model, engine_name(model)), (engine_name(model), model)):
            if not (self._repository / entry).is_dir():
                self._found(other, f"its other half, the entry {entry}, is missing")
                present[entry] = set[int]()
            else:
                present[entry] = set(store.versions(self._repository / entry))
                if not present[entry]:
                    self._found(entry, "has no version")
        text, engine = present.values()
        numbers = sorted(text | engine)
        checked = set(numbers if self._newest is None else numbers[-self._newest :])
        manifests = {number: self._version(model, number, text, engine) for number in sorted(checked)}
        for entry in present:
            if present[entry]:
                self._beside(entry, manifests.get(max(text, default=0)))

    def _version(self, model: str, number: int, text: set[int], engine: set[int]) -> Manifest | None:
        for have, other, name in ((text, engine, engine_name(model)), (engine, text, model)):
            if number in other and number not in have:
                missing = model if name == engine_name(model) else engine_name(model)
                self._found(f"{name}/{number}", f"its other half, {missing}/{number}, is missing")
        where = f"{model}/{number}/{MANIFEST}"
        if number not in text:
            return None
        manifest = None
        with self._finding(where):
            content = read(self._repository / where, most=MAX_BYTES)
            manifest = _parse(content, model, number)
            signature = self._signature(model, number, content)
            size = sum(file.size for file in manifest.files.values())
            self._versions.append(
                Version(model, number, len(manifest.files), size, signature is not None, manifest.rollback_of)
            )
        for entry, have in ((model, text), (engine_name(model), engine)):
            if number in have:
                self._files(entry, number, manifest)
        return manifest

    def _signature(self, model: str, number: int, manifest: bytes) -> bytes | None:
        where = f"{model}/{number}/{SIGNATURE}"
        signature = None
        if os.path.lexists(self._repository / where):
            with self._finding(where):
                signature = read(self._repository / where, most=_SMALL)
        if self._key is not None:
            if signature is None:
                self._found(where, "not signed")
            elif not signing.genuine(self._key, signature, manifest):
                self._found(where, "not the signature of this manifest by this key")
        return signature

    def _files(self, entry: str, number: int, manifest: Manifest | None) -> None:
        """Compare a version's folder with its manifest; without one, look at what is there."""
        folder = f"{entry}/{number}"
        if (self._repository / folder).is_symlink():
            self._found(folder, "a symbolic link")
            return
        listed = manifest.of(entry) if manifest else {}
        extra = {MANIFEST, SIGNATURE} if manifest is None or entry == manifest.model else set()
        with os.scandir(self._repository / folder) as listing:
            there = {item.name for item in listing}
        for name in sorted(listed.keys() - there):
            self._found(f"{folder}/{name}", "missing")
        for name in sorted(there - extra):
            path = self._repository / folder / name
            with self._finding(f"{folder}/{name}"):
                if manifest is not None and name not in listed:
                    raise Refused(oddity(path.lstat()) or "not in the manifest")
                with opened(path, size=listed[name].size if name in listed else None) as file:
                    if name in listed and file.sha256() != listed[name].sha256:
                        raise Refused("its sha256 is not the one in the manifest")
                if path.suffix == ".onnx":
                    for problem in onnx_file.problems(path):
                        self._found(f"{folder}/{name}", problem)

    def _beside(self, entry: str, newest: Manifest | None) -> None:
        """Check what lies in an entry beside its versions: the newest version's shared files."""
        shared: dict[str, File] = newest.shared(entry) if newest else {}
        with os.scandir(self._repository / entry) as listing:
            items = {item.name: item for item in listing}
        for name in sorted(shared.keys() - items.keys()):
            self._found(f"{entry}/{name}", "missing")
        for name, item in sorted(items.items()):
            if _is_folder(item) and store.is_version(name):
                continue
            with self._finding(f"{entry}/{name}"):
                if newest is not None and name not in shared:
                    raise Refused(self._stray(item, "not a part of the model"))
                size = shared[name].size if name in shared else None
                with opened(self._repository / entry / name, size=size) as file:
                    if newest is not None and file.sha256() != shared[name].sha256:
                        raise Refused(f"not the one of version {newest.version}")

    @contextlib.contextmanager
    def _finding(self, path: str) -> Iterator[None]:
        try:
            yield
        except (Refused, ManifestError) as refused:
            self._found(path, str(refused))
        except OSError as error:
            self._found(
                path, "missing" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
            )


def _parse(content: bytes, model: str, number: int) -> Manifest:
    try:
        manifest = parse(content)
    except ManifestError as error:
        raise Refused(str(error).removeprefix(f"{MANIFEST}: ")) from None
    if (manifest.model, manifest.version) != (model, number):
        raise Refused(f"it is of version {manifest.version} of {manifest.model}")
    for entry in manifest.entries:
        if _CONFIG not in manifest.shared(entry):
            raise Refused(f"it lists no {_CONFIG} of {entry}")
    return manifest


def _is_folder(item: os.DirEntry[str]) -> bool:
    return item.is_dir(follow_symlinks=False)


def _is_file(item: os.DirEntry[str]) -> bool:
    return item.is_file(follow_symlinks=False) and oddity(item.stat(follow_symlinks=False)) is None
