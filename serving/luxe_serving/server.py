"""One embedded tritonserver: start it, know when it answers, stop it, leave nothing behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from luxe.console import console
from luxe.errors import UserError
from luxe_serving import arguments, probe, runtime
from luxe_serving.arguments import Address

__all__ = ["Server", "free_address", "running"]

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Server:
    """An embedded tritonserver on a repository.

    Args:
        repository: a model repository with at least one entry.
        address: where to listen.
        log: file for the server's own log.

    Raises:
        UserError: nothing to serve, a busy port, or a system that cannot run Triton.
    """

    def __init__(self, repository: Path, address: Address, log: Path) -> None:
        self.address = address
        self.models = probe.models(repository)
        self.log = log
        if not self.models:
            raise UserError(f"nothing to serve in {repository}: run `luxe export NAME` first")
        _check_ports(address)
        found = runtime.find()
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            output = log.open("wb")
        except OSError as error:
            raise UserError(f"cannot write the server's log {log}: {error.strerror}") from None
        self._scratch = Path(tempfile.mkdtemp(prefix="luxe-serve-"))
        self._shm_prefix = f"{self._scratch.name}-"
        found.make_backends(self._scratch)
        self._key = secrets.token_hex(16)
        command = arguments.launcher(
            repository.resolve(),
            address,
            models=self.models,
            backends=self._scratch,
            shm_prefix=self._shm_prefix,
            key=self._key,
        )
        with output:
            self._process = subprocess.Popen(
                [str(found.binary), *command],
                env=found.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Its own session, so that Ctrl-C in the terminal reaches only the launcher, which then
                # stops the server in order.
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_ready(self, *, timeout_s: float = 120.0) -> None:
        """Wait until every model has answered a real inference.

        Raises:
            UserError: the server ended, or a model does not answer in time; names the log.
        """
        deadline = time.monotonic() + timeout_s
        with grpc.insecure_channel(self.address.grpc) as channel, console.status("starting Triton"):
            for model in self.models:
                while True:
                    try:
                        probe.answers(channel, model, timeout_s=10.0)
                        break
                    except grpc.RpcError as error:
                        self._check_alive()
                        if time.monotonic() > deadline:
                            reason = error.details()
                            message = f"{model} gave no answer within {timeout_s:.0f} s: {reason}; see {self.log}"
                            raise UserError(message) from None
                        time.sleep(0.1)

    def wait(self) -> int:
        """Wait until the server ends by itself; returns its exit status."""
        return self._process.wait()

    def stop(self) -> None:
        """Let accepted requests finish, end the server, remove what it left."""
        if self._process.poll() is None:
            with contextlib.suppress(grpc.RpcError):
                self._drain(arguments.EXIT_TIMEOUT_S)
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(arguments.EXIT_TIMEOUT_S + 5)
        # Also after an orderly end: a stub whose server was killed may linger.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        shutil.rmtree(self._scratch, ignore_errors=True)
        for segment in Path("/dev/shm").glob(f"{self._shm_prefix}*"):
            segment.unlink(missing_ok=True)

    def _drain(self, timeout_s: float) -> None:
        """Take the models that people call off the server, and wait until their accepted requests are answered.

        A server that is stopping refuses the calls of its own models to each other ("Server not ready"), so
        requests that wait for the engine would fail. Unloading a model first lets them finish.
        """
        deadline = time.monotonic() + timeout_s
        metadata = [(f"triton-grpc-protocol-{arguments.ADMIN_HEADER}", self._key)]
        called = {model for model in self.models if not model.endswith("-engine")}
        with grpc.insecure_channel(self.address.grpc) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            for model in called:
                unload = service_pb2.RepositoryModelUnloadRequest(model_name=model)
                stub.RepositoryModelUnload(unload, metadata=metadata, timeout=timeout_s)
            while time.monotonic() < deadline and self._process.poll() is None:
                request = service_pb2.RepositoryIndexRequest()
                index = stub.RepositoryIndex(request, metadata=metadata, timeout=timeout_s)
                if not any(m.name in called and m.state in ("READY", "UNLOADING") for m in index.models):
                    return
                time.sleep(0.05)

    def _check_alive(self) -> None:
        status = self._process.poll()
        if status is not None:
            raise UserError(f"Triton ended with status {status}: {_reason(self.log)}; see {self.log}")


@contextlib.contextmanager
def running(repository: Path, address: Address, log: Path) -> Iterator[Server]:
    """Run a server that is ready, and stop it at the end, whatever happens."""
    server = Server(repository, address, log)
    try:
        server.wait_ready()
        yield server
    finally:
        server.stop()


def free_address() -> Address:
    """Return loopback ports that nobody uses now."""
    with contextlib.ExitStack() as stack:
        ports = []
        for _ in range(3):
            listener = stack.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            ports.append(listener.getsockname()[1])
    return Address("127.0.0.1", *ports)


def _check_ports(address: Address) -> None:
    for option in ("http_port", "grpc_port", "metrics_port"):
        port = getattr(address, option)
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((address.host, port))
            except OSError as error:
                flag = "--" + option.replace("_", "-")
                raise UserError(
                    f"cannot listen on {address.host}:{port}: {error.strerror}; choose another with {flag}"
                ) from None


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _reason(log: Path) -> str:
    """Return the first error of the server's log as one line."""
    lines = log.read_text(errors="replace").splitlines()
    errors = [line for line in lines if " E " in line and "CudaDriverHelper" not in line]
    return (errors or lines[-1:] or ["no output"])[0].strip()
