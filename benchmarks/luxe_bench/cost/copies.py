"""Repositories of their own to serve from: the newest version of one model, under as many names as are needed.

They are published as any version is, so what is measured is what `luxe export` would have left.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from luxe import access
from luxe import repository as store
from luxe.errors import UserError
from luxe.manifest import MANIFEST, Manifest, engine_name, parse
from luxe.project import Project
from luxe.schema import Serving
from luxe.verify import verify
from luxe_export.publishing.publish import Parts, parts_of, publish
from luxe_export.publishing.triton_config import set_engine, set_text, to_text

__all__ = ["copy", "newest", "settings"]

_CONFIG, _SETTINGS = "config.pbtxt", "luxe.json"


def newest(project: Project, name: str) -> Manifest:
    """Return the manifest of a model's newest version, whose files are as they were published.

    Raises:
        UserError: it was never published, or is spoilt.
    """
    repository = project.repository
    versions = store.versions(repository / name)
    if not versions:
        raise UserError(f"{name} is not published: run `luxe export {name}` first")
    with access.reading(repository):
        findings = verify(repository, model=name, newest=1).findings
    if findings:
        raise UserError(f"{findings[0].line}; nothing is measured")
    return parse((repository / name / str(max(versions)) / MANIFEST).read_bytes())


def copy(
    repository: Path,
    manifest: Manifest,
    names: Sequence[str],
    target: Path,
    *,
    change: Mapping[str, Any] | None = None,
    serving: Serving | None = None,
) -> Path:
    """Publish a version in ``target`` once a name, and return ``target``.

    Args:
        repository: holds the version.
        manifest: the version's.
        names: of the copies; their engines are named after them.
        target: a repository, made here.
        change: settings of ``luxe.json`` that are to be other than published.
        serving: what the catalogue is to say of a CPU's server, in ``luxe.json`` and in both configs; as published
            when None.
    """
    for name in names:
        text, engine = (parts_of(repository, manifest, entry) for entry in manifest.entries)
        own = settings(repository, manifest)
        if serving is not None:
            own |= {key: getattr(serving, key) for key in own.keys() & Serving.model_fields.keys()}
        own |= {**(change or {}), "engine": engine_name(name)}
        content = json.dumps(own, indent=2, ensure_ascii=False).encode() + b"\n"
        publish(
            target,
            Parts(engine_name(name), _config(engine.shared, engine_name(name), serving, set_engine), engine.version),
            Parts(name, _config(text.shared, name, serving, set_text), {**text.version, _SETTINGS: content}),
            manifest.model_extra or {},
        )
    return target


def settings(repository: Path, manifest: Manifest) -> dict[str, Any]:
    """Return the ``luxe.json`` of a version."""
    path = repository / manifest.model / str(manifest.version) / _SETTINGS
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


def _config(
    shared: Mapping[str, bytes], name: str, serving: Serving | None, write: Callable[[Any, Serving], None]
) -> dict[str, bytes]:
    """Return an entry's shared files with a config of another name, and with what `serving` says of it."""
    config = text_format.Parse(shared[_CONFIG].decode(), model_config_pb2.ModelConfig())
    config.name = name
    if serving is not None:
        write(config, serving)
    return {**shared, _CONFIG: to_text(config).encode()}
