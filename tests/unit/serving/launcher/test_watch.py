import contextlib
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import grpc
import pytest

from luxe_serving.launcher import processes, watch
from luxe_serving.launcher.watch import FAILURES, PATIENCE_S, PROBE_S, Watch, verdict

DEAD = "engine: Stub process 'x-engine_0_0' is not healthy."
OK = grpc.StatusCode.OK
UNAVAILABLE, INTERNAL = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL


class Call:
    """An answer that comes at once, or never."""

    def __init__(self, code, details=""):
        self._code, self._details = code, details

    def done(self):
        return self._code is not None

    def code(self):
        return self._code

    def details(self):
        return self._details


class Record:
    changes = 0

    def quiet(self):
        return contextlib.nullcontext(self.changes)


@pytest.fixture
def world(monkeypatch, tmp_path):
    """A server whose models answer what ``answer`` says, and one process below it."""
    path = tmp_path / "x-engine" / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    path.write_text("input()")
    child = subprocess.Popen([sys.executable, str(path)], stdin=subprocess.PIPE)
    while not processes.arguments(child.pid):  # for a moment, a new process has none
        time.sleep(0.01)
    world = SimpleNamespace(
        now=0.0, answer=Call(OK), asked=0, ready={"x": 1}, status=None, record=Record(), child=child, stubs={child.pid}
    )

    def begin(channel, request, timeout_s):
        world.asked += 1
        return world.answer

    request = SimpleNamespace(parameters={"timeout": SimpleNamespace(int64_param=0)})
    monkeypatch.setattr(watch.probe, "request", lambda *a, **k: request)
    monkeypatch.setattr(watch.probe, "begin", begin)
    monkeypatch.setattr(processes, "children", lambda pid: frozenset(world.stubs))
    admin = SimpleNamespace(ready=lambda: dict(world.ready), channel=None)
    server = SimpleNamespace(pid=os.getpid(), admin=admin, wanted={"x": None}, status=lambda: world.status)
    world.watch = Watch(server, world.record, clock=lambda: world.now)

    def look(seconds):
        """Look every tenth of a second; return the first finding and when."""
        end = world.now + seconds
        while world.now < end:
            if (reason := world.watch.sick()) is not None:
                return reason
            world.now += 0.1
        return None

    world.look = look
    yield world
    child.communicate(b"\n")


def until_zombie(child):
    child.kill()
    deadline = time.monotonic() + 5
    while processes.state(child.pid, parent=os.getpid()) != "zombie":
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_healthy_server_is_asked_once_a_second(world):
    assert world.look(10) is None
    assert world.asked == pytest.approx(10 / PROBE_S, abs=2)
    assert world.watch.served == {"x": 1}


def test_tritonserver_itself(world):
    world.status = -9
    assert "-9" in world.watch.sick()


def test_a_stub_that_died_is_seen_at_the_next_look(world):
    assert world.watch.sick() is None
    until_zombie(world.child)
    assert world.watch.sick() == f"the backend process {world.child.pid} of x-engine died"


def test_a_stub_that_has_gone(world):
    world.child.kill()
    world.child.wait()
    assert str(world.child.pid) in world.watch.sick()


def test_a_stub_that_went_because_its_model_did(world):
    world.child.kill()
    world.child.wait()
    world.ready, world.stubs = {}, set()
    assert world.look(3) is None
    assert world.watch.served == {}


def test_a_stub_that_died_is_known_by_the_first_answer(world):
    world.answer = Call(INTERNAL, DEAD)
    assert "Stub process" in world.look(0.3)


@pytest.mark.parametrize("code", [INTERNAL, UNAVAILABLE, grpc.StatusCode.NOT_FOUND])
def test_other_failures_count(world, code):
    world.answer = Call(code, "some reason")
    assert world.look(PROBE_S * (FAILURES - 1)) is None
    assert "some reason" in world.look(PROBE_S * 2)


def test_an_answer_between_failures_makes_good(world):
    for _ in range(5):
        world.answer = Call(INTERNAL, "some reason")
        assert world.look(PROBE_S * (FAILURES - 1)) is None
        world.answer = Call(OK)
        assert world.look(PROBE_S * 2) is None


def test_no_answer(world):
    world.answer = Call(None)
    assert world.look(PATIENCE_S * FAILURES) is None
    assert "no answer" in world.look(1)
    assert world.asked == 1, "nothing is sent on top"


@pytest.mark.parametrize(
    "details",
    [
        "overloaded: an answer would take over 3 ms",
        "expired: its timeout passed",
        "[request id: probe] Exceeds maximum queue size",
        "Request timeout expired",
    ],
)
def test_a_refusal_is_an_answer(world, details):
    assert not verdict(UNAVAILABLE, details)
    world.answer = Call(UNAVAILABLE, details)
    assert world.look(PROBE_S * FAILURES * 3) is None


def test_nothing_is_judged_while_somebody_changes_what_is_loaded(world):
    world.record.changes = None
    world.answer = Call(INTERNAL, DEAD)
    until_zombie(world.child)
    assert world.look(20) is None
    world.record.changes = 1  # over, and the dead one is still there
    assert world.look(1) is not None


def test_what_a_change_has_loaded_is_served_from_then_on(world):
    world.ready, world.record.changes = {"x": 2, "y": 1}, 1
    assert world.look(1) is None
    assert world.watch.served == {"x": 2, "y": 1}
