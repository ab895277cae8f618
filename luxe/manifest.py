"""`manifest.json`: what a published version consists of, file by file, and where it came from.

The exporter adds fields of its own (what was measured, on which CPU, from which checkpoint); they are kept as they are.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import pydantic

__all__ = ["MANIFEST", "MAX_BYTES", "NAME", "SIGNATURE", "File", "Manifest", "ManifestError", "engine_name", "parse"]

MANIFEST = "manifest.json"
SIGNATURE = "manifest.json.sig"
MAX_BYTES = 16 * 2**20
"""A manifest over this is refused before it is read."""

NAME = r"[a-z0-9]+(-[a-z0-9]+)*"
"""Names of models, as a regular expression."""

_ENGINE = "-engine"


class ManifestError(ValueError):
    """The manifest cannot be used; the message says why in one line."""


class _Table(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True, frozen=True, extra="forbid")


class File(_Table):
    """One file of a version."""

    sha256: Annotated[str, pydantic.Field(pattern=r"^[0-9a-f]{64}$")]
    size: Annotated[int, pydantic.Field(ge=0)]
    """In bytes."""
    shared: bool = False
    """Whether this is the version's own copy of a file beside the versions, such as ``config.pbtxt``."""


class Manifest(_Table):
    """A version: the files of both entries, by their path in the repository, such as ``NAME/3/luxe.json``.

    The manifest and its signature are not in the list; what else the exporter wrote is in ``model_extra``.
    """

    model_config = pydantic.ConfigDict(extra="allow")

    model: Annotated[str, pydantic.Field(pattern=f"^{NAME}$")]
    version: Annotated[int, pydantic.Field(ge=1)]
    rollback_of: Annotated[int, pydantic.Field(ge=1)] | None
    """The version whose files these are, where this one is a rollback."""
    files: dict[str, File]

    @pydantic.model_validator(mode="after")
    def _check(self) -> Manifest:
        for path in self.files:
            parts = path.split("/")
            inside = len(parts) == 3 and parts[0] in self.entries and parts[1] == str(self.version)
            if not inside or parts[2] in ("", ".", "..", MANIFEST, SIGNATURE) or not parts[2].isprintable():
                raise ValueError(f"{path!r} is not a file of version {self.version} of {self.model}")
        if self.rollback_of is not None and self.rollback_of >= self.version:
            raise ValueError(f"'rollback_of' {self.rollback_of} is not an older version")
        return self

    @property
    def entries(self) -> tuple[str, str]:
        """The repository entries of this version: text model, engine."""
        return self.model, engine_name(self.model)

    def of(self, entry: str) -> dict[str, File]:
        """Return an entry's files by their name in the version's folder."""
        prefix = f"{entry}/{self.version}/"
        return {path.removeprefix(prefix): file for path, file in self.files.items() if path.startswith(prefix)}

    def shared(self, entry: str) -> dict[str, File]:
        """Return those of an entry's files that also lie beside its versions."""
        return {name: file for name, file in self.of(entry).items() if file.shared}

    def to_bytes(self) -> bytes:
        """Return the content of ``manifest.json``."""
        own = self.model_dump(mode="json", include=set(type(self).model_fields))
        return json.dumps({**(self.model_extra or {}), **own}, indent=2, ensure_ascii=False).encode() + b"\n"


def engine_name(model: str) -> str:
    """Return the name of a model's engine entry."""
    return f"{model}{_ENGINE}"


def parse(content: bytes, *, where: Path | str = MANIFEST) -> Manifest:
    """Read a manifest.

    Raises:
        ManifestError: it is no manifest of this format; names ``where``.
    """
    try:
        table = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{where}: not valid JSON: {error}") from None
    if not isinstance(table, dict):
        raise ManifestError(f"{where}: not a manifest")
    try:
        return Manifest(**table)
    except (pydantic.ValidationError, TypeError) as error:
        raise ManifestError(f"{where}: {_explain(error)}") from None


def _explain(error: pydantic.ValidationError | TypeError) -> str:
    if isinstance(error, TypeError):
        return str(error)
    first = error.errors()[0]
    key = ".".join(map(str, first["loc"]))
    message = first["msg"].removeprefix("Value error, ")
    return f"key {key!r}: {message[0].lower()}{message[1:]}" if key else message
