"""The catalogue: one TOML file a model, and the only place where its facts are written.

Every step of the line (train, export, serve, bench) reads its numbers from here; `luxe.schema` says what a file holds.
"""

from __future__ import annotations

import re
import sys
import typing
from pathlib import Path

import pydantic

from luxe.errors import UserError
from luxe.manifest import NAME
from luxe.project import Project
from luxe.schema import Entry

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["load", "load_all"]


def load(project: Project, name: str) -> Entry:
    """Read and check ``catalog/NAME.toml``.

    Raises:
        UserError: no such model, or the file is not valid; names file, key and what is allowed.
    """
    path = project.catalog / f"{name}.toml"
    if not re.fullmatch(NAME, name) or not path.is_file():
        stems = (p.stem for p in project.catalog.glob("*.toml"))
        known = ", ".join(sorted(s for s in stems if re.fullmatch(NAME, s))) or "none"
        raise UserError(f"unknown model {name!r}: the catalogue has {known}")
    return _read(path, project)


def load_all(project: Project) -> list[Entry]:
    """Read and check the whole catalogue, by name."""
    return [_read(path, project) for path in sorted(project.catalog.glob("*.toml"))]


def _read(path: Path, project: Project) -> Entry:
    where = path.relative_to(project.root)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{where}: not valid TOML: {error}") from None
    if "name" in table:
        raise UserError(f"{where}: unknown key 'name': the file's name is the model's name")
    try:
        return Entry(name=path.stem, **table)
    except pydantic.ValidationError as error:
        raise UserError(f"{where}: " + "; ".join(_explain(e) for e in error.errors())) from None


def _explain(error: object) -> str:
    """One finding of pydantic as "key 'slo.p50_ms': ..."."""
    assert isinstance(error, dict)
    location = [str(part) for part in error["loc"]]
    key = ".".join(location)
    if error["type"] == "extra_forbidden":
        allowed = ", ".join(_keys(location[:-1]))
        return f"unknown key {key!r}: allowed here are {allowed}"
    if error["type"] == "missing":
        return f"missing key {key!r}"
    message: str = error["msg"].removeprefix("Value error, ")
    if not location:  # of several keys together
        return message
    message = message[0].lower() + message[1:]
    return f"key {key!r}: {message}, not {error['input']!r}"


def _keys(tables: list[str]) -> list[str]:
    model: type[pydantic.BaseModel] = Entry
    for table in tables:
        annotation = model.model_fields[table].annotation
        kinds = [annotation, *typing.get_args(annotation)]  # a table, or a table or None
        model = next(k for k in kinds if isinstance(k, type) and issubclass(k, pydantic.BaseModel))
    return [key for key in model.model_fields if key != "name"]
