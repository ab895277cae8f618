"""One `luxe serve` in a process of its own, and what may befall it. Everything is done to processes by their ids."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from luxe.errors import UserError
from luxe.project import Project
from luxe_bench import processes
from luxe_bench.cost.worker import last_line
from luxe_client import Client, LuxeError
from luxe_serving.launcher import processes as kernel
from luxe_serving.launcher.arguments import Address
from luxe_serving.launcher.server import die_with_parent

__all__ = ["Replica"]

_COMMAND = (sys.executable, "-c", "from luxe.cli import main; main()", "serve")
_READY_S = 120.0
_STOP_S = 60.0
_STEP_S = 0.2
_ANSWER_S = 2.0
_KILLED_S = 10.0
_NUMBERS = itertools.count()


class Replica:
    """A server of a project.

    Args:
        project: whose model it serves.
        model: the model.
        address: where, each time it is started.
        log: for what `luxe serve` says.
    """

    def __init__(self, project: Project, model: str, address: Address, log: Path) -> None:
        self.address = address
        self._project, self._model, self._log = project, model, log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it is ready when it `answers`."""
        ports = {name: getattr(self.address, f"{name}_port") for name in ("http", "grpc", "metrics")}
        options = [f"--{name}-port={port}" for name, port in ports.items()]
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [*_COMMAND, self._model, "--root", str(self._project.root), *options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Ctrl-C reaches only the bench, which then stops it; and it ends if the bench is killed.
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    def answers(self) -> bool:
        """Return whether it answers a text that nobody asked before."""
        with Client(self.address.grpc, timeout_s=_ANSWER_S, retry=None) as client:
            try:
                client.classify(self._model, f"are you there? {next(_NUMBERS)}")
            except LuxeError:
                return False
        return True

    def until_it_answers(self) -> None:
        """Wait.

        Raises:
            UserError: it ended, or takes too long.
        """
        deadline = time.monotonic() + _READY_S
        while not self.answers():
            process = self._running()
            if process.poll() is not None or time.monotonic() > deadline:
                raise UserError(f"the server at {self.address.grpc} does not come back: {last_line(self._log)}")
            time.sleep(_STEP_S)

    def kill(self) -> None:
        """Kill every process of it at once."""
        process = self._running()
        pids = processes.pids(process.pid)
        # Its launcher last, or it would tell tritonserver to end in order.
        for pid in reversed(pids):
            _signal(pid, signal.SIGKILL)
        process.wait()
        deadline = time.monotonic() + _KILLED_S
        while any(kernel.started(pid) is not None for pid in pids) and time.monotonic() < deadline:
            time.sleep(0.01)  # until the ports are free

    def kill_backend(self, entry: str) -> None:
        """Kill the backend process of an entry of the repository; what `luxe serve` does of it is its own affair.

        Raises:
            UserError: there is none.
        """
        for pid in processes.pids(self._running().pid):
            arguments = kernel.arguments(pid)
            if len(arguments) > 1 and f"/{entry}/" in arguments[1]:
                _signal(pid, signal.SIGKILL)
                return
        raise UserError(f"the server at {self.address.grpc} has no backend process of {entry}")

    def stop(self) -> None:
        """Tell it to end, and wait until it has.

        Raises:
            UserError: it does not.
        """
        process = self._running()
        process.terminate()
        deadline = time.monotonic() + _STOP_S
        while process.poll() is None:
            if time.monotonic() > deadline:
                raise UserError(f"the server at {self.address.grpc} does not end: {last_line(self._log)}")
            time.sleep(_STEP_S)

    def pause(self) -> None:
        """Stop every process of it where it is."""
        for pid in processes.pids(self._running().pid):
            _signal(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let every process of it go on."""
        for pid in processes.pids(self._running().pid):
            _signal(pid, signal.SIGCONT)

    def end(self) -> None:
        """Leave nothing of it, whatever state it is in: in order if it can, else killed."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        try:
            self.resume()
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_S)
        finally:  # a second Ctrl-C waits no longer
            if process.poll() is None:
                self.kill()

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "it was started"
        return self._process


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
