"""`luxe rollback`: the files of an older version once more, as the next version.

Versions only grow, so nothing that is there changes: whoever reads the newest version gets the older files, and the
manifest says whose they are.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from luxe import repository as store
from luxe import signing
from luxe.errors import UserError
from luxe.manifest import SIGNATURE, Manifest
from luxe.verify import verify
from luxe_export.publishing.publish import add, changing, check_published, parts_of

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = ["rollback"]


def rollback(
    repository: Path, model: str, *, to: int | None = None, key: Ed25519PrivateKey | None = None
) -> tuple[int, int]:
    """Publish an older version's files as the next version.

    Args:
        repository: where the model is published.
        model: its name.
        to: the older version; by default the newest one that is older than what is current now, so that two
            rollbacks in turn go back two steps.
        key: signs the new manifest; the old signature is of a manifest with another number.

    Returns:
        The new version, and the older one whose files it has.

    Raises:
        UserError: no such version, it is spoilt, it is current already, it is signed and there is no key, or it is
            not known to be the publisher's and would be signed.
    """
    check_published(repository, model)
    with changing(repository):
        manifests, newest = store.manifests(repository, model), store.versions(repository / model)[-1]
        target = _target(manifests, model, newest, to)
        old = manifests[target]
        _refuse_forged(repository / model, target, newest, key)
        _refuse_spoilt(repository, model, target)
        origin = _origin(manifests, target)
        text, engine = (parts_of(repository, old, entry) for entry in old.entries)
        version = add(repository, engine, text, old.model_extra or {}, key=key, rollback_of=origin)
    return version, target


def _target(manifests: dict[int, Manifest], model: str, newest: int, to: int | None) -> int:
    current = _origin(manifests, newest)
    if to is None:
        older = [version for version in manifests if version < current]
        if not older:
            raise UserError(f"nothing to go back to: {model} has no usable version before {current}")
        return max(older)
    if to not in manifests:
        have = ", ".join(map(str, manifests)) or "none"
        raise UserError(f"no usable version {to} of {model}: there are {have}")
    if _origin(manifests, to) == current:
        raise UserError(f"the files of version {to} of {model} are current already")
    return to


def _origin(manifests: dict[int, Manifest], version: int) -> int:
    """Return the version that first had these files; of one whose manifest is spoilt nobody knows another."""
    while version in manifests:
        older = manifests[version].rollback_of
        if older is None:
            break
        version = older
    return version


def _refuse_forged(entry: Path, version: int, newest: int, key: Ed25519PrivateKey | None) -> None:
    """Refuse to lose a signature, and to sign what somebody else may have put there."""
    what = f"version {version} of {entry.name}"
    signed, current = (os.path.lexists(entry / str(number) / SIGNATURE) for number in (version, newest))
    if signed and key is None:
        raise UserError(f"{what} is signed: sign its copy too, with --sign PRIVATE.pem")
    if signed and key and not signing.signed(entry / str(version), key.public_key()):
        raise UserError(
            f"{what} cannot be signed again: what lies beside its manifest is not its signature by this key"
        )
    if not signed and key and current:
        raise UserError(
            f"{what} is not signed, and version {newest}, the current one, is: nobody vouches for its files"
        )


def _refuse_spoilt(repository: Path, model: str, version: int) -> None:
    findings = verify(repository, model=model).findings
    inside = (f"{model}/{version}/", f"{model}-engine/{version}/")
    for finding in findings:
        if f"{finding.path}/".startswith(inside):
            raise UserError(f"version {version} of {model} cannot be used: {finding.line}")
