"""One embedded tritonserver: start it, load models, know when it answers, stop it, leave nothing behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import grpc

from luxe.console import console
from luxe.errors import UserError
from luxe.manifest import engine_name
from luxe_serving.launcher import arguments, loading, probe, runtime
from luxe_serving.launcher.admin import Admin
from luxe_serving.launcher.arguments import Address
from luxe_serving.launcher.loading import Sleep
from luxe_serving.launcher.log_file import LogFile
from luxe_serving.launcher.scratch import Scratch, sweep

__all__ = ["Server", "die_with_parent", "free_address", "running", "wanted"]

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
# Looked up before any fork: the child of a process with threads may not wait for the loader's lock.
_PRCTL = ctypes.CDLL(None).prctl

_START_S = 60.0
"""Until the server listens; models come later."""
_SICK_DRAIN_S, _SICK_EXIT_S = 1.5, 0.5
"""Requests that a sick server can still answer have as long, and then it has to end."""


class Server:
    """An embedded tritonserver on a repository.

    Args:
        repository: a model repository with at least one entry.
        address: where to listen.
        log: file for the server's own log; it is appended to.
        models: what to load, with the version of each or None for the newest; everything published unless told.
        key: opens the administrative protocols; a new one unless told.
        otlp: URL of an OpenTelemetry collector.
        environment: variables on top.
        sleep: waits; may raise, which ends what waits.

    Raises:
        UserError: nothing to serve, a busy port, or a system that cannot run Triton.
    """

    def __init__(
        self,
        repository: Path,
        address: Address,
        log: Path,
        *,
        models: Iterable[str] | Mapping[str, int | None] | None = None,
        key: str | None = None,
        otlp: str | None = None,
        environment: Mapping[str, str] | None = None,
        sleep: Sleep = time.sleep,
    ) -> None:
        self.address = address
        self.repository = repository.resolve()
        self.wanted: dict[str, int | None]
        """What it was started for, and the version of each; None for the newest."""
        self.wanted = dict(models) if isinstance(models, Mapping) else wanted(repository, models)
        self._sleep = sleep
        _check_ports(address)
        found = runtime.find()
        sweep()
        self.log = LogFile(log)
        self._scratch = Scratch()
        try:
            found.make_backends(self._scratch.folder)
            key = key or secrets.token_hex(16)
            command = arguments.launcher(
                self.repository,
                address,
                backends=self._scratch.folder,
                shm_prefix=self._scratch.shm_prefix,
                key=key,
                otlp=otlp,
            )
            with self.log.open() as output:
                self._process = subprocess.Popen(
                    [str(found.binary), *command],
                    env={**found.environment(), **(environment or {})},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=(self._scratch.lock,),
                    # Its own session, so that Ctrl-C in the terminal reaches only the launcher, which then
                    # stops the server in order.
                    start_new_session=True,
                    preexec_fn=die_with_parent,
                )
        except BaseException:
            self._scratch.remove()
            raise
        self._scratch.release()
        self.admin = Admin(address.grpc, key)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def models(self) -> list[str]:
        """The entries that it was started for, engines included."""
        entries = {name for model in self.wanted for name in (model, engine_name(model))}
        return sorted(name for name in entries if (self.repository / name).is_dir())

    def status(self) -> int | None:
        """Return the exit status; None while it runs."""
        return self._process.poll()

    def load(self) -> None:
        """Wait until the server listens, and load the models.

        Raises:
            UserError: the server ended, or a model does not load; names the log.
        """
        deadline = time.monotonic() + _START_S
        with console.status("starting Triton"):
            while True:
                try:
                    if self.admin.live():
                        break
                except grpc.RpcError as error:
                    self._check_alive()
                    if time.monotonic() > deadline:
                        raise UserError(f"Triton does not listen: {error.details()}; see {self.log.path}") from None
                self._sleep(0.05)
            try:
                loading.load(self.admin, self.repository, self.wanted, sleep=self._sleep)
            except UserError as error:
                raise UserError(f"{error}; see {self.log.path}") from None
            except grpc.RpcError as error:
                self._check_alive()
                raise UserError(f"Triton does not answer: {error.details()}; see {self.log.path}") from None

    def wait_ready(self, *, timeout_s: float = 120.0) -> None:
        """Wait until every model has answered a real inference.

        Raises:
            UserError: the server ended, or a model does not answer in time; names the log.
        """
        deadline = time.monotonic() + timeout_s
        with console.status("waiting for the first answers"):
            for model in self.models:
                while True:
                    try:
                        probe.answers(self.admin.channel, model, timeout_s=10.0, sleep=self._sleep)
                        break
                    except grpc.RpcError as error:
                        self._check_alive()
                        if time.monotonic() > deadline:
                            reason = error.details()
                            message = f"{model} gave no answer within {timeout_s:.0f} s: {reason}; see {self.log.path}"
                            raise UserError(message) from None
                        self._sleep(0.1)

    def stop(self, *, drain_s: float = arguments.EXIT_TIMEOUT_S, exit_s: float = arguments.EXIT_TIMEOUT_S + 5) -> None:
        """Let accepted requests finish, end the server, remove what it left; a second call does nothing.

        Args:
            drain_s: accepted requests have as long.
            exit_s: the server has as long to end after that, then it is killed.
        """
        if self._process.poll() is None:
            with contextlib.suppress(grpc.RpcError):
                loading.unload(self.admin, self.admin.ready(timeout_s=drain_s), engines=False, timeout_s=drain_s)
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(exit_s)
        self.admin.close()
        # Also after an orderly end: a stub whose server was killed may linger.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._scratch.remove()

    def abandon(self) -> None:
        """End a server that is sick: a dead stub would hold up an orderly end by both its timeouts."""
        self.stop(drain_s=_SICK_DRAIN_S, exit_s=_SICK_EXIT_S)

    def _check_alive(self) -> None:
        status = self._process.poll()
        if status is not None:
            reason = self.log.first_error()
            raise UserError(f"Triton ended with status {status}: {reason}; see {self.log.path}")


@contextlib.contextmanager
def running(repository: Path, address: Address, log: Path, *, models: Iterable[str] | None = None) -> Iterator[Server]:
    """Run a server that is ready, and stop it at the end, whatever happens; ``models`` are all unless told."""
    server = Server(repository, address, log, models=models)
    try:
        server.load()
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


def wanted(repository: Path, names: Iterable[str] | None) -> dict[str, int | None]:
    """Return what to serve, the newest version of each: these models, or all that are published.

    Raises:
        UserError: nothing is published, or one of them is not.
    """
    published = probe.models(repository)
    if not published:
        raise UserError(f"nothing to serve in {repository}: run `luxe export NAME` first")
    chosen = published if names is None else list(names)
    for name in chosen:
        if name not in published:
            raise UserError(f"{name} is not in {repository}: run `luxe export {name}` first; there {_are(published)}")
    return dict.fromkeys(chosen)


def _are(names: list[str]) -> str:
    return f"{'is' if len(names) == 1 else 'are'} {', '.join(names)}"


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


def die_with_parent() -> None:
    """Have the kernel end this process when the thread that forked it ends; for ``preexec_fn``."""
    _PRCTL(_PR_SET_PDEATHSIG, signal.SIGTERM)
