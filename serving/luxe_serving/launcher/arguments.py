"""The command line of tritonserver: one place for the launcher and for the container."""

from __future__ import annotations

import dataclasses
from pathlib import Path

__all__ = [
    "ADMIN_HEADER",
    "EXIT_TIMEOUT_S",
    "GRPC_PORT",
    "HTTP_PORT",
    "METRICS_PORT",
    "Address",
    "everywhere",
    "launcher",
]

HTTP_PORT, GRPC_PORT, METRICS_PORT = 8000, 8001, 8002

EXIT_TIMEOUT_S = 20
"""Seconds that accepted requests have to finish after SIGTERM."""

ADMIN_HEADER = "luxe-admin"

# Protocols that change the server or reach into its memory (CVE-2025-23319, -23320, -23334).
_ADMINISTRATIVE = "shared-memory,model-repository,model-config,trace,logging"

_CONNECTION_AGE_MS = 300_000
"""A balancing client learns of new replicas only when a connection ends. Triton counts milliseconds."""

_FORWARDED = "(?i)(traceparent|tracestate|x-request-id)"
"""Headers, whole names; clients spell them as they like."""


@dataclasses.dataclass(frozen=True)
class Address:
    """Where a server listens."""

    host: str = "127.0.0.1"
    http_port: int = HTTP_PORT
    grpc_port: int = GRPC_PORT
    metrics_port: int = METRICS_PORT

    @property
    def http(self) -> str:
        return f"{self.host}:{self.http_port}"

    @property
    def grpc(self) -> str:
        return f"{self.host}:{self.grpc_port}"

    @property
    def metrics(self) -> str:
        return f"{self.host}:{self.metrics_port}"


def everywhere(repository: str, *, control: str = "none") -> list[str]:
    """Return what every tritonserver of luxe is started with, embedded or in a container."""
    return [
        f"--model-repository={repository}",
        # What is loaded is what was there at the start; polling may read a half-written version.
        f"--model-control-mode={control}",
        # The published configs are complete; guessing would start every backend twice.
        "--disable-auto-complete-config",
        f"--exit-timeout-secs={EXIT_TIMEOUT_S}",
        f"--grpc-max-connection-age={_CONNECTION_AGE_MS}",
        "--allow-gpu-metrics=false",
        # What ties a request to its trace reaches the backends as parameters.
        f"--grpc-header-forward-pattern={_FORWARDED}",
        f"--http-header-forward-pattern={_FORWARDED}",
        "--log-format=ISO8601",
    ]


def launcher(
    repository: Path, address: Address, *, backends: Path, shm_prefix: str, key: str, otlp: str | None = None
) -> list[str]:
    """Return what the embedded server gets on top.

    Args:
        repository: the model repository; nothing of it is loaded at the start.
        address: where to listen.
        backends: folder with the backends.
        shm_prefix: what the names of its segments of shared memory begin with.
        key: opens the administrative protocols.
        otlp: URL of an OpenTelemetry collector that gets a trace of every request.
    """
    key = f"{ADMIN_HEADER}={key}"
    return [
        # Explicit: the launcher loads and unloads (see `loading`), and nobody else, who lacks the key.
        *everywhere(str(repository), control="explicit"),
        f"--backend-directory={backends}",
        f"--backend-config=python,shm-region-prefix-name={shm_prefix}",
        f"--http-address={address.host}",
        f"--http-port={address.http_port}",
        f"--grpc-address={address.host}",
        f"--grpc-port={address.grpc_port}",
        f"--metrics-address={address.host}",
        f"--metrics-port={address.metrics_port}",
        f"--grpc-restricted-protocol={_ADMINISTRATIVE}:{key}",
        f"--http-restricted-api={_ADMINISTRATIVE}:{key}",
        *(_tracing(otlp) if otlp else ()),
    ]


def _tracing(url: str) -> list[str]:
    return [
        "--trace-config=mode=opentelemetry",
        f"--trace-config=opentelemetry,url={url}",
        "--trace-config=opentelemetry,resource=service.name=luxe",
        "--trace-config=level=TIMESTAMPS",
        "--trace-config=rate=1",
    ]
