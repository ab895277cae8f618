"""The order in which models are loaded and unloaded: a text model calls its engine, so the engine is there longer.

A server that is stopping refuses the calls of its own models to each other ("Server not ready"), so requests that wait
for the engine would fail. Unloading a text model first lets them finish.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import grpc

from luxe.errors import UserError
from luxe.manifest import engine_name
from luxe.repository import versions
from luxe_serving.launcher.admin import Admin
from luxe_serving.launcher.override import override

__all__ = ["Sleep", "load", "unload", "until_done"]

Sleep = Callable[[float], None]
"""Waits so many seconds; may raise, which ends what waits."""

_STEP_S = 0.05


def load(
    admin: Admin,
    repository: Path,
    wanted: Mapping[str, int | None],
    *,
    serving: Mapping[str, int] | None = None,
    sleep: Sleep = time.sleep,
) -> None:
    """Load all engines at once, then all text models.

    Args:
        admin: of the server.
        repository: where they are published.
        wanted: models, and the version of each; None for the newest.
        serving: what the server serves now; its engines stay until their text models are replaced.
        sleep: waits.

    Raises:
        UserError: one does not load; says what Triton says.
        grpc.RpcError: the server does not answer.
    """
    engines: dict[str, str | None] = {}
    for model, version in wanted.items():
        folder = repository / engine_name(model)
        if folder.is_dir():
            engines[folder.name] = _engine(folder, version, (serving or {}).get(model))
    texts = {
        m: override(repository / m, [] if v is None else [v]) for m, v in wanted.items() if (repository / m).is_dir()
    }
    for configs in (engines, texts):
        _load(admin, configs, sleep)
        # Triton goes by the time of the files: what was loaded with another config before it takes for up to date.
        index = admin.index()
        stale = [e for e, c in configs.items() if c is None and versions(repository / e)[-1] not in index.get(e, {})]
        _load(admin, {entry: override(repository / entry, always=True) for entry in stale}, sleep)


def _load(admin: Admin, configs: Mapping[str, str | None], sleep: Sleep) -> None:
    calls = {entry: admin.load(entry, config) for entry, config in configs.items()}
    for entry, call in calls.items():
        until_done(call, sleep)
        if call.code() is not grpc.StatusCode.OK:
            raise _refused(entry, call)


def unload(admin: Admin, models: Iterable[str], *, engines: bool, timeout_s: float, sleep: Sleep = time.sleep) -> bool:
    """Take models off the server: text models, and when their accepted requests are answered, engines if asked.

    Returns:
        Whether that was done in time.

    Raises:
        grpc.RpcError: the server does not answer.
    """
    names = list(models)
    deadline = time.monotonic() + timeout_s
    for entries in (names, [engine_name(name) for name in names] if engines else []):
        there = set(entries) & admin.index(timeout_s=timeout_s).keys()
        calls = [admin.unload(entry) for entry in there]
        # They are answered before the model has gone.
        while not all(call.done() for call in calls) or there & admin.index(timeout_s=timeout_s).keys():
            if time.monotonic() > deadline:
                return False
            sleep(_STEP_S)
    return True


def until_done(call: Any, sleep: Sleep) -> None:
    """Wait for a future of gRPC, and let ``sleep`` end that."""
    while not call.done():
        sleep(_STEP_S)


def _engine(entry: Path, version: int | None, served: int | None) -> str | None:
    """Return the config for an engine; versions that the published one leaves out but a text model calls are added."""
    if version is not None:
        return override(entry, [version])
    there = versions(entry)
    # The published config keeps two, so that the text model of the version before goes on; it may be older.
    if served in there[:-2]:
        return override(entry, [v for v in (served, there[-1]) if v is not None])
    return override(entry)


def _refused(entry: str, call: Any) -> Exception:
    if call.code() is grpc.StatusCode.UNAVAILABLE and "failed to connect" in (call.details() or ""):
        return call.exception()  # type: ignore[no-any-return]
    reason = " ".join((call.details() or "no reason given").split()).rstrip(" ;")
    return UserError(f"{entry} does not load: {reason}")
