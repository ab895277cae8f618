"""`luxe load` and `luxe unload`: change what a running server serves, without a restart and without a failed call."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import grpc

from luxe import access
from luxe.console import console, output, table
from luxe.errors import UserError
from luxe.project import Project
from luxe.repository import versions
from luxe_serving.launcher import loading, probe
from luxe_serving.launcher.admin import Admin
from luxe_serving.launcher.record import Record, Running, find
from luxe_serving.launcher.serve import check

__all__ = ["Change", "load", "show", "unload"]

_ANSWER_S = 120.0
"""For the first answer, which comes when the model has warmed up."""
_DRAIN_S = 120.0


@dataclasses.dataclass(frozen=True)
class Change:
    """What a server serves of a model, before and after; None for nothing."""

    model: str
    before: int | None
    after: int | None


def load(project: Project, name: str, *, address: str | None = None, key: Path | None = None) -> Change:
    """Load a model's newest version; the version that is served answers until the new one does.

    Args:
        project: the project whose server it is.
        name: a published model.
        address: the server's gRPC address; none is needed where only one runs.
        key: a public key that the version must be signed with; the one that the server was started with unless told.

    Raises:
        UserError: no such model, no such server, or the model is not as it was published or does not load.
    """
    record = find(project.runs, address)
    published = probe.models(project.repository)
    if name not in published:
        raise UserError(f"{name} is not published: run `luxe export {name}` first")
    with record.changing() as server, access.reading(project.repository):
        own = None if server.public_key is None else Path(server.public_key)
        check(project.repository, key or own, [name])
        newest = versions(project.repository / name)[-1]
        with Admin(server.grpc, server.key) as admin, console.status(f"loading {name} version {newest}"):
            try:
                serving = admin.ready()
                loading.load(admin, project.repository, {name: None}, serving=serving)
                answered = probe.answers(admin.channel, name, timeout_s=_ANSWER_S)
            except grpc.RpcError as error:
                raise _no_answer(record, server, error) from None
        if int(answered) != newest:
            raise UserError(f"{name} version {newest} was loaded, but version {answered} answers")
        return Change(name, serving.get(name), newest)


def unload(project: Project, name: str, *, address: str | None = None) -> Change:
    """Take a model off a server; accepted requests are answered first.

    Raises:
        UserError: no such server, or it does not serve the model.
    """
    record = find(project.runs, address)
    with record.changing() as server, Admin(server.grpc, server.key) as admin:
        try:
            serving = admin.ready()
            if name not in serving:
                served = f"it serves {', '.join(sorted(serving))}" if serving else "it serves nothing"
                raise UserError(f"{server.grpc} does not serve {name}: {served}")
            with console.status(f"unloading {name}"):
                done = loading.unload(admin, [name], engines=True, timeout_s=_DRAIN_S)
        except grpc.RpcError as error:
            raise _no_answer(record, server, error) from None
        if not done:
            raise UserError(f"{name} takes no new requests, but those accepted are not answered after {_DRAIN_S:.0f} s")
        return Change(name, serving[name], None)


def show(change: Change, *, as_json: bool) -> None:
    """Print a change."""
    if as_json:
        print(json.dumps(dataclasses.asdict(change), indent=2))
        return
    rows = table("model", ">before", ">after")
    rows.add_row(change.model, str(change.before or "-"), str(change.after or "-"))
    output.print(rows)


def _no_answer(record: Record, server: Running, error: grpc.RpcError) -> UserError:
    if record.read() is None:
        return UserError(f"the server {server.grpc} has ended")
    return UserError(f"the server {server.grpc} gave no answer: {' '.join((error.details() or '').split())}")
