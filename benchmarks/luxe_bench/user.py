"""The Locust user: arrivals on a schedule, whether or not the server keeps up.

Users that wait for an answer before they ask again slow down with the server and hide its worst times. Here
every request has a time at which it is due, and its latency counts from then.
"""

from __future__ import annotations

import random
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from locust import User, events, task  # first: it lets gevent patch the standard library

import grpc.experimental.gevent as grpc_gevent  # isort: skip

grpc_gevent.init_gevent()  # before any channel; without it, gRPC blocks all greenlets (locust#1016)

import gevent  # noqa: E402
from gevent.pool import Pool  # noqa: E402

from luxe import catalog  # noqa: E402
from luxe.project import Project  # noqa: E402
from luxe_bench import samples  # noqa: E402
from luxe_client import Client, LuxeError  # noqa: E402
from luxe_training.data import load  # noqa: E402

__all__ = ["OpenLoopUser"]

_MAX_IN_FLIGHT = 2000
_SEED = 20

_taken: list[samples.Sample] = []


@events.init_command_line_parser.add_listener
def _options(parser: ArgumentParser) -> None:
    parser.add_argument("--model", default="comment-intent", help="Model of the catalogue")
    parser.add_argument("--rate", type=float, default=0.0, help="Requests a second; 0: the model's [slo]")
    parser.add_argument("--timeout-s", type=float, default=10.0, help="Deadline of a request")
    parser.add_argument("--root", default=".", help="Folder of the project")
    parser.add_argument("--samples", default="", help="File for raw samples, JSON lines")


@events.quitting.add_listener
def _write_samples(environment: Any, **_: Any) -> None:
    if environment.parsed_options.samples:
        samples.write(Path(environment.parsed_options.samples), _taken)


class OpenLoopUser(User):
    """Sends texts of the model's test set, in random order, at a constant rate, to ``--host``.

    With several users, each takes its part of the rate.
    """

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        options = environment.parsed_options
        project = Project.open(Path(options.root))
        entry = catalog.load(project, options.model)
        self._model = entry.name
        self._texts = load(project.data(entry.name), "test", entry.labels).texts
        self._rate = options.rate or entry.slo.requests_per_s
        self._client = Client(self.host or "127.0.0.1:8001", timeout_s=options.timeout_s)
        self._in_flight = Pool(_MAX_IN_FLIGHT)

    def on_start(self) -> None:
        """Connect and warm up, outside of what is measured; then the schedule begins."""
        self._client.classify(self._model, "hello")
        self._draw = random.Random(_SEED)
        self._start = self._due = time.perf_counter()

    def on_stop(self) -> None:
        """Wait for what is in flight; Locust's --stop-timeout bounds it."""
        self._in_flight.join()
        self._client.close()

    @task
    def arrive(self) -> None:
        """Send one request when it is due; Locust calls this again at once, until the run ends."""
        gevent.sleep(max(0.0, self._due - time.perf_counter()))
        text = self._draw.choice(self._texts)
        if self._in_flight.full():
            self._record(self._due, RuntimeError("not sent: too many in flight"))
        else:
            self._in_flight.spawn(self._send, self._due, text)
        self._due += max(1, self.environment.runner.target_user_count) / self._rate

    def _send(self, due: float, text: str) -> None:
        error: Exception | None = None
        try:
            self._client.classify(self._model, text)
        except LuxeError as problem:
            error = problem
        self._record(due, error)

    def _record(self, due: float, error: Exception | None) -> None:
        latency_ms = (time.perf_counter() - due) * 1e3
        kind = type(error).__name__ if error else None
        _taken.append(samples.Sample(due_s=due - self._start, latency_ms=latency_ms, error=kind))
        self.environment.events.request.fire(
            request_type="grpc",
            name=self._model,
            response_time=latency_ms,
            response_length=0,
            exception=error,
            context={},
        )
