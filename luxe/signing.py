"""Ed25519 signatures of manifests, with keys that `openssl genpkey -algorithm ed25519` makes. Nothing goes online."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luxe import plain_file
from luxe.errors import UserError
from luxe.manifest import MANIFEST, MAX_BYTES, SIGNATURE

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

__all__ = ["genuine", "private_key", "public_key", "signed"]

_MAX_BYTES = 64 * 2**10


def private_key(path: Path) -> Ed25519PrivateKey:
    """Read the key that signs.

    Raises:
        UserError: no such file, or no unencrypted Ed25519 private key in PEM.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = _load(path, lambda pem: serialization.load_pem_private_key(pem, password=None), "private")
    if not isinstance(key, Ed25519PrivateKey):
        raise UserError(f"{path}: not an Ed25519 key: make one with `openssl genpkey -algorithm ed25519`")
    return key


def public_key(path: Path) -> Ed25519PublicKey:
    """Read the key that signatures are checked with.

    Raises:
        UserError: no such file, or no Ed25519 public key in PEM.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    key = _load(path, serialization.load_pem_public_key, "public")
    if not isinstance(key, Ed25519PublicKey):
        raise UserError(f"{path}: not an Ed25519 key: make one with `openssl genpkey -algorithm ed25519`")
    return key


def genuine(key: Ed25519PublicKey, signature: bytes, content: bytes) -> bool:
    """Return whether ``signature`` is the one of ``content`` by the holder of the private key."""
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(signature, content)
    except InvalidSignature:
        return False
    return True


def signed(version: Path, key: Ed25519PublicKey) -> bool:
    """Return whether a version's folder holds the signature of its manifest by the holder of the private key."""
    try:
        manifest, signature = (plain_file.read(version / name, most=MAX_BYTES) for name in (MANIFEST, SIGNATURE))
    except (OSError, plain_file.Refused):
        return False
    return genuine(key, signature, manifest)


def _load(path: Path, load: Callable[[bytes], Any], kind: str) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        with path.open("rb") as file:
            pem = file.read(_MAX_BYTES)
    except OSError as error:
        raise UserError(f"cannot read the {kind} key {path}: {error.strerror}") from None
    try:
        return load(pem)
    except TypeError:  # cryptography's way to say that a password is needed
        raise UserError(f"{path}: the {kind} key is encrypted: decrypt it first, with `openssl pkey`") from None
    except (ValueError, UnsupportedAlgorithm):
        raise UserError(f"{path}: not a {kind} key in PEM") from None
