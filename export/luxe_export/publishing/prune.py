"""`luxe prune`: the oldest versions go, of both entries.

A server in explicit mode, as `luxe serve` starts it, keeps what it has loaded. One that polls unloads what is gone;
it never misses an engine whose text version is there, since the text version goes first.
"""

from __future__ import annotations

from pathlib import Path

from luxe import repository as store
from luxe.errors import UserError
from luxe.manifest import engine_name
from luxe_export.publishing.publish import changing, check_published

__all__ = ["prune"]


def prune(repository: Path, model: str, *, keep: int) -> list[int]:
    """Remove all but the newest ``keep`` versions of a model, and return the numbers that went.

    Killed in the middle, the rest goes with the next command that writes. A number is never given again.

    Raises:
        UserError: the model was never published, ``keep`` is under 1, or the repository is not writable.
    """
    if keep < 1:
        raise UserError(f"a model keeps at least its newest version: --keep {keep} is under 1")
    check_published(repository, model)
    with changing(repository):
        last = store.highest(repository, model)
        text, engine = (store.versions(repository / entry) for entry in (model, engine_name(model)))
        gone = sorted({*text, *engine} - set(text[-keep:]))
        if gone:
            store.save_state(repository, model, store.State(last=last, removing=tuple(gone)))
            store.recover(repository, model)
    return gone
