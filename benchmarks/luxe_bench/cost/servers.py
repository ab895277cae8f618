"""The servers that are measured: luxe's, and FastAPI with the same engine, as one would write it or tuned."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from luxe.console import console
from luxe.errors import UserError
from luxe_bench.cost import metrics
from luxe_bench.cost.worker import last_line
from luxe_serving.launcher.server import free_address, running

__all__ = ["Target", "fastapi", "luxe"]

_START_S = 60.0
_STOP_S = 10.0


@dataclasses.dataclass(frozen=True)
class Target:
    """A server that runs."""

    protocol: str
    """``grpc`` or ``http``"""
    address: str
    model: str
    """Of gRPC; the path of HTTP."""
    pid: int
    metrics_address: str | None = None

    def counters(self) -> metrics.Counters:
        """Return what it says of itself now; nothing where it has no metrics."""
        return metrics.read(self.metrics_address) if self.metrics_address else {}


@contextlib.contextmanager
def luxe(repository: Path, model: str, log: Path) -> Iterator[Target]:
    """Run luxe's server on a repository."""
    with running(repository, free_address(), log) as server:
        address = server.address
        yield Target("grpc", address.grpc, model, server.pid, address.metrics)


@contextlib.contextmanager
def fastapi(text: Path, engine: Path, log: Path, *, threads: int | None = None) -> Iterator[Target]:
    """Run `benchmarks/baselines/fastapi_server.py` on the engine of a published version.

    Args:
        text: version's folder of the text model.
        engine: version's folder of the engine.
        log: for what the server says.
        threads: of ONNX Runtime, with a worker process a core; None leaves both at their defaults.

    Raises:
        UserError: it cannot be started.
    """
    script = Path(__file__).parents[2] / "baselines" / "fastapi_server.py"
    if not script.is_file():
        raise UserError("the baseline is not part of the wheel: run `luxe bench cost` from a checkout of luxe")
    max_length = json.loads((text / "luxe.json").read_text(encoding="utf-8"))["max_length"]
    port = free_address().http_port
    command = [sys.executable, str(script), str(engine / "model.onnx"), str(text / "tokenizer.json")]
    command += [str(text / "labels.txt"), "--max-length", str(max_length), "--port", str(port)]
    command += [] if threads is None else ["--threads", str(threads)]
    with log.open("wb") as output:
        # A session of its own, so that nothing of it can be left, and Ctrl-C reaches only us, who then stop it.
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        with console.status("starting FastAPI"):
            _wait_ready(process, port, log)
        yield Target("http", f"127.0.0.1:{port}", "/classify", process.pid)
    finally:
        process.terminate()  # uvicorn ends its workers
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/classify", b'{"text": "ready"}', {"Content-Type": "application/json"}
    )
    deadline = time.monotonic() + _START_S
    while True:
        try:
            with urllib.request.urlopen(request, timeout=10):
                return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise UserError(f"FastAPI does not start: {last_line(log)}") from None
            time.sleep(0.1)
