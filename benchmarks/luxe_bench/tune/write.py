"""The catalogue's file: as it was read, and the new one in its place, as a whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from luxe import catalog
from luxe.errors import UserError
from luxe.project import Project
from luxe.schema import Entry, Serving
from luxe_bench.tune.edit import edit

__all__ = ["read", "write"]


def read(project: Project, name: str) -> tuple[bytes, Entry]:
    """Return a model's catalogue file, and what it says.

    Raises:
        UserError: there is none, or it is not valid.
    """
    # The bytes first: were the file changed in between, it would not be the one that `write` expects.
    path = _path(project, name)
    content = path.read_bytes() if path.is_file() else b""
    return content, catalog.load(project, name)


def write(project: Project, entry: Entry, before: bytes, changes: Mapping[str, int | None]) -> None:
    """Change the keys of `[serving]` in a model's catalogue file.

    Args:
        entry: what the file says.
        before: its content, which is to be there still.
        changes: as of `luxe_bench.tune.knobs.changes`.

    Raises:
        UserError: somebody has changed the file, or it cannot be written; it is as it was.
    """
    path = _path(project, entry.name).resolve()  # the file, where the catalogue links to it
    where = f"catalog/{entry.name}.toml"
    after = edit(before.decode(), changes).encode()
    _check(entry, after, changes, where)
    try:
        # A name that is no catalogue entry's.
        number, temporary = tempfile.mkstemp(prefix=f".{path.name}-", suffix=".new", dir=path.parent)
        try:
            with os.fdopen(number, "wb") as file:
                file.write(after)
                file.flush()
                os.fsync(file.fileno())
            shutil.copymode(path, temporary)
            if path.read_bytes() != before:
                raise UserError(f"{where} was changed meanwhile: nothing is written")
            Path(temporary).replace(path)
        finally:
            Path(temporary).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {where}: {error.strerror}; it is as it was") from None


def _path(project: Project, name: str) -> Path:
    return project.catalog / f"{name}.toml"


def _check(entry: Entry, content: bytes, changes: Mapping[str, int | None], where: str) -> None:
    """Read the new file as the catalogue does: it must say what was measured, and nothing else be different."""
    defaults = Serving()
    update = {key: getattr(defaults, key) if value is None else value for key, value in changes.items()}
    expected = entry.model_copy(update={"serving": entry.serving.model_copy(update=update)})
    with tempfile.TemporaryDirectory(prefix="luxe-tune-") as scratch:
        project = Project(Path(scratch))
        project.catalog.mkdir()
        _path(project, entry.name).write_bytes(content)
        if catalog.load(project, entry.name) != expected:
            raise UserError(f"{where} cannot be edited as it is: write {_listed(changes)} by hand")


def _listed(changes: Mapping[str, int | None]) -> str:
    return ", ".join(f"{key} = {value}" if value is not None else f"no {key}" for key, value in changes.items())
