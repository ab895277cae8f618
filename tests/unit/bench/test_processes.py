"""What a command costs is its own, and it ends with whoever measures it."""

import os
import signal
import time
from pathlib import Path

import pytest

WAIT_S = 20.0


def until(condition):
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_memory_of_the_parent_does_not_count(start_python, tmp_path):
    """ru_maxrss survives exec: `sleep` would seem to hold what Python held when it forked."""
    program = """
import pathlib, sys
from luxe_bench import processes
held = b"x" * (800 << 20)
cost = processes.run(["sleep", "0.2"], log=pathlib.Path(sys.argv[1]), cores=[0])
print(cost.status, cost.peak_bytes, cost.largest_bytes)
"""
    out, err = start_python(program, tmp_path / "log", options=()).communicate(timeout=WAIT_S)
    assert err == ""
    status, peak, largest = map(int, out.split())
    assert status == 0 and 0 < largest < 50 << 20 and peak < 50 << 20


_MEASURER = """
import pathlib, sys
from luxe_bench import processes
processes._GRACE_S = float(sys.argv[1])
processes.run([sys.executable, "-c", sys.argv[2], sys.argv[3]], log=pathlib.Path(sys.argv[3]) / "log", cores=[0])
"""
_TIDY = """
import pathlib, subprocess, sys, tempfile, time
place = pathlib.Path(sys.argv[1])
with tempfile.TemporaryDirectory(dir=place):
    child = subprocess.Popen(["sleep", "600"])
    (place / "pids").write_text(f"{__import__('os').getpid()} {child.pid}")
    time.sleep(600)
"""
_DEAF = "import signal; [signal.signal(s, signal.SIG_IGN) for s in (signal.SIGINT, signal.SIGTERM)]" + _TIDY


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(("command", "grace_s", "left"), [(_TIDY, 10, 0), (_DEAF, 0.3, 1)])
def test_an_interrupted_command_ends_with_all_that_it_started(start_python, tmp_path, command, grace_s, left):
    measurer = start_python(_MEASURER, grace_s, command, tmp_path, options=())
    pids = tmp_path / "pids"
    assert until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    started = [int(pid) for pid in pids.read_text().split()]
    try:
        measurer.send_signal(signal.SIGINT)
        _, err = measurer.communicate(timeout=WAIT_S)
        assert err.rstrip().endswith("KeyboardInterrupt")
        assert until(lambda: not any(map(alive, started)))
        assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == left  # what was killed cannot tidy up
    finally:
        for pid in filter(alive, started):
            os.kill(pid, signal.SIGKILL)
