"""`luxe serve` while parts of it die: it serves again, gives up when that does not help, and always ends in order."""

import contextlib
import re
import signal
import time

import psutil
import pytest
from e2e_support import MODEL, Steady, running, wait_until

from luxe_client import Client, LuxeError

ENGINE = f"{MODEL}-engine"
TEXT = "where can i get those boots, i need them for saturday"
END_S = 40.0


@pytest.fixture
def up(serve, project):
    return serve(project.root).until_ready()


def victim(up, part):
    return up.triton() if part == "tritonserver" else up.stub(part)


def answers(up):
    try:
        with Client(up.address.grpc, timeout_s=5.0) as client:
            return client.classify(MODEL, TEXT).label == "purchase_interest"
    except LuxeError:
        return False


@pytest.mark.parametrize("part", [ENGINE, MODEL, "tritonserver"])
def test_it_serves_again_after_a_part_of_it_died(up, part):
    with Steady(up.address.grpc, TEXT) as load:
        assert wait_until(lambda: len(load.answers) > 20, timeout_s=30)
        before = set(up.family())
        began = time.monotonic()
        victim(up, part).kill()
        assert wait_until(lambda: "ready again" in up.err, timeout_s=60), up.err
        assert wait_until(lambda: load.answers[-1][0] > began + 1 and len(load.answers) > 50, timeout_s=30)
        since = time.monotonic()
        assert wait_until(lambda: load.answers[-1][0] > since, timeout_s=10)
    up.family()
    line = next(line for line in up.err.splitlines() if line.startswith("sick"))
    assert ("tritonserver ended with status -9" if part == "tritonserver" else f"of {part} died") in line
    assert line.endswith("; restarting")
    assert not running(before), "the sick server's processes are still there"
    last = max((when for when, _ in load.errors), default=began)
    print(f"{part}: the last failed call {last - began:.1f} s after the kill; {up.err.splitlines()[-1]}")
    assert up.out.count("grpc") == 1, "the addresses are the same"
    assert answers(up)
    up.signal(signal.SIGTERM)
    assert up.end(timeout_s=END_S) == 0, up.err
    assert up.left() == []


def test_a_crash_loop_ends_it_with_one_line(up, project):
    """What is restarted dies at once, until nobody believes in it any more."""
    log = project.runs / "triton.log"
    size = log.stat().st_size
    began = time.monotonic()

    def ended():
        for process in running(up.family()):
            if process.name() == "tritonserver":
                process.kill()
        return up.process.poll() is not None

    assert wait_until(ended, timeout_s=120, step_s=0.3), up.err
    assert up.process.returncode == 1
    assert "Traceback" not in up.err
    last = up.err.splitlines()[-1]
    assert re.match(r"luxe: gave up after 5 restarts in \d+ s, .*first error: .*triton\.log", last), last
    assert int(re.search(r"in (\d+) s", last)[1]) >= 15, "it waits longer each time"
    assert time.monotonic() - began < 100
    assert up.left() == []
    assert log.stat().st_size > size, "the log of the servers before is still there"
    assert list(project.runs.glob(f"serving-{up.pid}.json")) == []


@pytest.mark.parametrize("after", ["sick", "restart 2"])
def test_a_signal_while_it_is_sick_ends_it_in_order(up, after):
    """During the drain, and during the back-off after a restart that failed."""
    up.triton().kill()
    assert wait_until(lambda: "sick" in up.err, timeout_s=10)
    if after != "sick":
        assert wait_until(lambda: kill_all(up) and up.err.count("sick") + up.err.count("failed") >= 2, timeout_s=60)
    up.signal(signal.SIGTERM)
    assert up.end(timeout_s=END_S) == 0, up.err
    assert up.err.splitlines()[-1] == "stopped"
    assert "Traceback" not in up.err
    assert up.left() == []


def kill_all(up):
    for process in running(up.family()):
        if process.name() == "tritonserver":
            process.kill()
    return True


def test_what_a_killed_launcher_left_is_swept_by_the_next(up, serve, project):
    family = list(up.family())
    folders = list(up.temporary.glob("luxe-serve-*"))
    segments = up.segments()
    assert folders
    assert segments
    up.process.kill()
    for process in running(family):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    up.process.wait()
    assert wait_until(lambda: not running(family), timeout_s=10)
    assert all(path.exists() for path in [*folders, *segments]), "else nothing would be left to sweep"
    record = project.runs / f"serving-{up.pid}.json"
    assert record.exists()
    after = serve(project.root, temporary=up.temporary).until_ready()
    assert not any(path.exists() for path in [*folders, *segments])
    assert not record.exists()
    after.signal(signal.SIGTERM)
    assert after.end(timeout_s=END_S) == 0
