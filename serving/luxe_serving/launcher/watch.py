"""Whether a server is sick. The embedded Triton does not tell: it never restarts a backend process (a stub) that died.

Three signs: tritonserver ended; one of its stubs ended; a text model does not answer. A refusal, because too much
waits, is an answer.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import grpc

from luxe_serving.launcher import probe, processes
from luxe_serving.launcher.admin import Admin
from luxe_serving.launcher.record import Record

__all__ = ["Watch", "verdict"]

PROBE_S = 1.0
"""Between an answer of a model and the next question to it."""
PATIENCE_S = 5.0
"""An answer that takes longer counts as a failure, and again for each further time."""
FAILURES = 3
"""In a row."""
_WIRE_S = 120.0
"""Longer than anybody waits: a deadline that passes on the wire may end Triton 2.51 (server#7368)."""
_REFUSALS = ("overloaded:", "expired:", "maximum queue size", "timeout expired")
_DEAD = "Stub process"


class Watched(Protocol):
    """What of a server is watched."""

    admin: Admin
    wanted: dict[str, int | None]

    @property
    def pid(self) -> int: ...

    def status(self) -> int | None: ...


class Watch:
    """Looks at one server, from when it answers until it is sick.

    Args:
        server: the server.
        record: says whether somebody changes what is loaded.
        clock: seconds.
    """

    def __init__(self, server: Watched, record: Record, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.served: Mapping[str, int | None] = dict(server.wanted)
        """Text models that were ready when it was last quiet, and their versions."""
        self._server, self._record, self._clock = server, record, clock
        self._changes: int | None = None
        self._stubs: dict[int, str] = {}
        self._questions: dict[str, _Question] = {}
        with record.quiet() as changes:
            self._look_around(changes)

    def sick(self) -> str | None:
        """Look once; return what is wrong, in words that end a line, or None."""
        if (status := self._server.status()) is not None:
            return f"tritonserver ended with status {status}"
        with self._record.quiet() as changes:
            if changes is None:  # somebody loads or unloads: stubs and answers come and go
                return None
            if changes != self._changes:
                self._look_around(changes)
            reason, certain = self._stub()
            if not reason:
                said = [question.sick(self._clock()) for question in self._questions.values()]
                reason = next(filter(None, said), "")
                certain = _DEAD in reason
            # Somebody who was killed in the middle of a change leaves fewer models, and none of them is sick.
            if not reason or (not certain and self._look_around(changes)):
                return None
            return reason

    def _look_around(self, changes: int | None) -> bool:
        """See what is there now; returns whether other models are served than before."""
        try:
            ready = self._server.admin.ready()
        except grpc.RpcError:
            return False
        different = ready != self.served
        self.served, self._changes = ready, changes
        known, self._stubs = self._stubs, {}
        for pid in processes.children(self._server.pid):
            # One that is dead already has no command line any more.
            self._stubs[pid] = _model(processes.arguments(pid)) or known.get(pid, "")
        channel = self._server.admin.channel
        self._questions = {name: _Question(channel, name) for name in ready}
        return different

    def _stub(self) -> tuple[str, bool]:
        """Return what is wrong with a backend process, and whether no change of what is loaded can explain it."""
        for pid, model in self._stubs.items():
            state = processes.state(pid, parent=self._server.pid)
            if state != "running":
                # Triton waits for those that it ends itself, and for no other.
                return f"the backend process {pid}{model and f' of {model}'} died", state == "zombie"
        return "", False


class _Question:
    """A question to one model, again and again."""

    def __init__(self, channel: grpc.Channel, model: str) -> None:
        self._channel, self._model = channel, model
        self._request: Any = None
        self._call: Any = None
        self._asked = self._due = -math.inf
        self._failures = 0

    def sick(self, now: float) -> str | None:
        """Ask when it is time, take the answer when it is there; return what is wrong."""
        if self._call is None:
            if now >= self._due:
                return self._ask(now)
            return None
        if not self._call.done():
            late = int((now - self._asked) / PATIENCE_S)
            return f"no answer in {now - self._asked:.0f} s" if self._failures + late >= FAILURES else None
        code, details = self._call.code(), self._call.details() or ""
        self._call, self._due = None, now + PROBE_S
        return self._judge(code, details)

    def _ask(self, now: float) -> str | None:
        self._asked = now
        try:
            self._request = self._request or probe.request(self._channel, self._model, timeout_s=PATIENCE_S)
            self._request.parameters["timeout"].int64_param = int(PATIENCE_S * 0.8e6)  # microseconds
            self._call = probe.begin(self._channel, self._request, timeout_s=_WIRE_S)
        except grpc.RpcError as error:
            self._due = now + PROBE_S
            return self._judge(error.code(), error.details() or "")
        return None

    def _judge(self, code: grpc.StatusCode, details: str) -> str | None:
        bad = verdict(code, details)
        self._failures = self._failures + 1 if bad else 0
        if bad and (_DEAD in details or self._failures >= FAILURES):
            return f"{self._model} does not answer: {' '.join(details.split())}"
        return None


def verdict(code: grpc.StatusCode, details: str) -> bool:
    """Return whether an answer is one of a server that may be sick; to refuse when too much waits is healthy."""
    if code is grpc.StatusCode.OK:
        return False
    return not any(words in details for words in _REFUSALS)


def _model(arguments: list[str]) -> str:
    """Return whose stub this is: its second argument is the model's file, REPOSITORY/MODEL/VERSION/FILE."""
    parts = arguments[1].split("/") if len(arguments) > 1 else []
    return parts[-3] if len(parts) > 3 else ""
