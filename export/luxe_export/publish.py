"""The model repository: versions that only grow, each there as a whole or not at all.

    NAME/          config.pbtxt  labels.txt  <version>/{luxe.json, tokenizer.json, manifest.json}
    NAME-engine/   config.pbtxt  <version>/model.onnx

A version is written beside its place, in a folder that Triton ignores because its name is no number, and then
renamed. The engine goes first: until the text model's version is there, nobody asks for it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from luxe.errors import UserError

__all__ = ["Parts", "check_writable", "latest_manifest", "publish"]

MANIFEST = "manifest.json"


@dataclasses.dataclass(frozen=True)
class Parts:
    """One entry of the repository: files by name, as bytes or as a file to copy."""

    name: str
    shared: Mapping[str, bytes]
    """Beside the versions: config and labels."""
    version: Mapping[str, bytes | Path]
    """Inside the version."""


def latest_manifest(repository: Path, model: str) -> dict[str, Any] | None:
    """Return the manifest of a model's newest version; None when it was never published."""
    for version in reversed(_versions(repository / model)):
        with contextlib.suppress(OSError, ValueError):
            manifest: dict[str, Any] = json.loads(
                (repository / model / str(version) / MANIFEST).read_text(encoding="utf-8")
            )
            return manifest
    return None


def check_writable(repository: Path) -> None:
    """Make the repository, and try to write in it, before hours of work go into an export.

    Raises:
        UserError: it cannot be written.
    """
    try:
        repository.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=repository):
            pass
    except OSError as error:
        raise UserError(f"the repository {repository} is not writable: {error.strerror}") from None


def publish(repository: Path, engine: Parts, text: Parts, manifest: Mapping[str, Any]) -> int:
    """Publish the two entries of a model as one new version, and return its number.

    Raises:
        UserError: the repository is not writable; it keeps what it had.
    """
    check_writable(repository)
    try:
        with _lock(repository), contextlib.ExitStack() as staged:
            _sweep(repository)
            version = max([0, *_versions(repository / text.name), *_versions(repository / engine.name)]) + 1
            whole = {**manifest, "model": text.name, "version": version}
            described = json.dumps(whole, indent=2, ensure_ascii=False).encode() + b"\n"
            with_manifest = dataclasses.replace(text, version={**text.version, MANIFEST: described})
            # Everything is written before anything is shown.
            entries = [staged.enter_context(_staged(repository, p, version)) for p in (engine, with_manifest)]
            for show in entries:
                show()
            return version
    except OSError as error:
        raise UserError(f"cannot publish to {repository}: {error.filename}: {error.strerror}") from None


@contextlib.contextmanager
def _staged(repository: Path, parts: Parts, version: int) -> Iterator[Callable[[], None]]:
    """Write an entry's new version out of Triton's sight; yields what shows it."""
    entry = repository / parts.name
    # Triton reads every folder of a repository as a model, so a new entry appears in one rename, complete.
    new = not entry.exists()
    scratch = Path(tempfile.mkdtemp(prefix=_prefix(repository), dir=_beside(repository) if new else entry))

    def show() -> None:
        if new:
            scratch.chmod(0o755)
            scratch.rename(entry)
            return
        (scratch / str(version)).rename(entry / str(version))
        for name in parts.shared:
            (scratch / name).replace(entry / name)

    try:
        (scratch / str(version)).mkdir()
        for name, content in parts.version.items():
            _write(scratch / str(version) / name, content)
        for name, content in parts.shared.items():
            _write(scratch / name, content)
        yield show
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _prefix(repository: Path) -> str:
    return f".{repository.resolve().name}-luxe-"


def _beside(repository: Path) -> Path:
    """Return a folder on the repository's file system: its parent, or where it is a mount itself, it."""
    real = repository.resolve()
    return real.parent if real.parent.stat().st_dev == real.stat().st_dev else real


def _sweep(repository: Path) -> None:
    """Remove what killed publishers left; the caller holds the lock."""
    for folder in (_beside(repository), *(p for p in repository.iterdir() if p.is_dir())):
        for left in folder.glob(f"{_prefix(repository)}*"):
            shutil.rmtree(left, ignore_errors=True)


def _write(path: Path, content: bytes | Path) -> None:
    with path.open("wb") as target:
        if isinstance(content, Path):
            with content.open("rb") as source:
                shutil.copyfileobj(source, target)
        else:
            target.write(content)
        target.flush()
        os.fsync(target.fileno())


def _versions(entry: Path) -> list[int]:
    if not entry.is_dir():
        return []
    return sorted(int(p.name) for p in entry.iterdir() if p.name.isdecimal() and p.name[0] != "0" and p.is_dir())


@contextlib.contextmanager
def _lock(repository: Path) -> Iterator[None]:
    """One publisher at a time; the lock goes with the process that holds it."""
    with (repository / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
