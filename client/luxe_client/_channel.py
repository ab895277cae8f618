"""How connections are made: options and credentials, the same for both clients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc

from luxe_client._errors import InvalidInput
from luxe_client._options import TLS
from luxe_client._targets import Target

__all__ = ["METHODS", "WIRE_GRACE_S", "credentials", "options", "push_back"]

# The embedded Triton may crash when a deadline passes on the wire (server issues 7368 and 8034, fixed in
# 2.54 to 2.59). So the wire gets this much more, and the caller's deadline is kept here, without a cancel.
WIRE_GRACE_S = 30.0

METHODS = ("ModelInfer", "ModelReady", "ServerReady", "RepositoryIndex")

_MESSAGE_BYTES = 64 * 2**20
_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.max_send_message_length", _MESSAGE_BYTES),
    ("grpc.max_receive_message_length", _MESSAGE_BYTES),
    # A server ends a connection that is pinged more often than every 300 s.
    ("grpc.keepalive_time_ms", 310_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # A service inside the cluster is never behind the proxy for the outside.
    ("grpc.enable_http_proxy", 0),
    # Retries have one layer, which is ours.
    ("grpc.enable_retries", 0),
    # gRPC waits up to two minutes before it connects again; a server restarts in seconds.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 2_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
]


def options(tls: TLS | None, target: Target) -> list[tuple[str, Any]]:
    """Return a channel's options; ``target`` is what the address was found under, which the certificate must name."""
    if tls is None:
        return _OPTIONS
    name = tls.server_name or (None if target.fixed else target.host)
    return [*_OPTIONS, ("grpc.ssl_target_name_override", name)] if name else _OPTIONS


def credentials(tls: TLS) -> Any:
    """Return gRPC's credentials.

    Raises:
        InvalidInput: a file cannot be read.
    """
    try:
        ca, cert, key = (Path(path).read_bytes() if path else None for path in (tls.ca, tls.cert, tls.key))
    except OSError as error:
        raise InvalidInput(f"TLS: {error.filename}: {error.strerror}") from None
    return grpc.ssl_channel_credentials(root_certificates=ca, private_key=key, certificate_chain=cert)


def push_back(trailers: Any) -> str | None:
    """Return the value of the trailer ``grpc-retry-pushback-ms`` (gRFC A6)."""
    return next((str(value) for name, value in trailers or () if name == "grpc-retry-pushback-ms"), None)
