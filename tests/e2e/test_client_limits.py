"""The clients at their limits: deadlines that hold, memory that does not grow, an end that hurts nobody."""

import asyncio
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
from e2e_support import MODEL, Steady, copy_newest, running, serve_with, wait_until

from luxe_client import AsyncClient, Client, DeadlineExceeded
from luxe_serving.launcher import server as launcher

CALLS = 200
DEADLINE_S = 0.05
MEDIAN_S = 0.1
"""The client promises an error after at most as long; a single call may wait for a core, where others use them."""
WORST_S = 1.0
SLOW_S = 0.5

MEMORY_CALLS = 10_000
GROWTH_BYTES = 2**20
CALLERS = 4

# What is served, but it takes half a second for whatever came together.
SLOW = f"""
import time

class TritonPythonModel(served.TritonPythonModel):
    def execute(self, requests):
        time.sleep({SLOW_S})
        return super().execute(requests)
"""

# Prints by how many bytes the memory of a client's process grew. Pages of files are left out, which cannot leak.
MEMORY = """
import asyncio, ctypes, gc, re, sys, threading
from pathlib import Path
from luxe_client import AsyncClient, Client

shell, leaks, address, model, calls, callers = sys.argv[1:]
each = int(calls) // int(callers)
kept = []

def text(number):
    return f"where can i get those boots, number {number % 50}"

def keep(answer):
    if leaks == "leaks":
        kept.append(answer)

def anonymous_bytes():
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return int(re.search(r"RssAnon:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

def threads(client, count):
    def call():
        for number in range(count):
            keep(client.classify(model, text(number)))
    started = [threading.Thread(target=call) for _ in range(int(callers))]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()

async def tasks(client, count):
    async def call():
        for number in range(count):
            keep(await client.classify(model, text(number)))
    await asyncio.gather(*(call() for _ in range(int(callers))))

async def main():
    async with AsyncClient(address, timeout_s=60.0) as client:
        await tasks(client, each // 5)
        before = anonymous_bytes()
        await tasks(client, each)
        print(anonymous_bytes() - before)

if shell == "asyncio":
    asyncio.run(main())
else:
    with Client(address, timeout_s=60.0) as client:
        threads(client, each // 5)
        before = anonymous_bytes()
        threads(client, each)
        print(anonymous_bytes() - before)
"""

# A server as quick as can be, in a process of its own: of the real one, so many answers take minutes.
FAKE = """
import sys
from luxe_client.testing import FakeTriton

with FakeTriton() as triton:
    triton.classify(sys.argv[1], {f"label {number}": 1 / 9 for number in range(9)})
    print(triton.address, flush=True)
    sys.stdin.read()
"""

# Streams texts without end, and says how many were answered.
STREAM = """
import itertools, sys
from luxe_client import Client

address, model, window = sys.argv[1:]
texts = (f"where can i get those boots, number {number}, i need them for saturday" for number in itertools.count())
with Client(address, batch_size=8) as client:
    say = lambda done: print(done, flush=True)
    for _ in client.iter_classify(model, texts, window=int(window), progress=say):
        pass
"""


def child(code, *arguments):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def slow(project, tmp_path_factory):
    """A server whose model takes half a second."""
    folder = tmp_path_factory.mktemp("slow")
    copy_newest(project.repository, folder / "model_repository")
    serve_with(folder / "model_repository", SLOW)
    with launcher.running(folder / "model_repository", launcher.free_address(), folder / "triton.log") as server:
        yield server


def late_calls(address):
    """How long each call took until it raised."""
    taken = []
    with Client(address) as client:
        for number in range(CALLS):
            began = time.monotonic()
            with pytest.raises(DeadlineExceeded):
                client.classify(MODEL, f"late, number {number}", timeout_s=DEADLINE_S)
            taken.append(time.monotonic() - began)
    return taken


def late_calls_of_asyncio(address):
    taken = []

    async def call(client, numbers):
        for number in numbers:
            began = time.monotonic()
            with pytest.raises(DeadlineExceeded):
                await client.classify(MODEL, f"late, number {number}", timeout_s=DEADLINE_S)
            taken.append(time.monotonic() - began)

    async def calls():
        async with AsyncClient(address) as client:
            await asyncio.gather(*(call(client, range(first, CALLS, CALLERS)) for first in range(CALLERS)))

    asyncio.run(calls())
    return taken


@pytest.mark.parametrize("calls", [late_calls, late_calls_of_asyncio])
def test_a_short_deadline_holds_and_the_server_lives(slow, calls):
    family = psutil.Process(slow.pid).children(recursive=True)
    taken = np.sort(calls(slow.address.grpc))
    print(f"{calls.__name__}: {', '.join(f'{q} % {1e3 * np.percentile(taken, q):.1f} ms' for q in (50, 95, 99, 100))}")
    assert len(taken) == CALLS
    assert taken[0] >= DEADLINE_S
    assert np.median(taken) <= MEDIAN_S
    assert taken[-1] <= WORST_S
    with Client(slow.address.grpc, timeout_s=60.0) as client:
        began = time.monotonic()
        assert client.classify(MODEL, "and now there is time").model == MODEL
        assert time.monotonic() - began >= SLOW_S, "else the model is not slow, and nothing was shown"
    assert running(family) == family


@pytest.fixture
def fake():
    """The address of a server that answers at once."""
    process = child(FAKE, MODEL)
    yield process.stdout.readline().strip()
    process.communicate(timeout=20)


def grown(address, shell, calls, leaks="keeps nothing"):
    # Where modules are compiled for the first time, what that took is freed during the calls.
    child(MEMORY, shell, leaks, address, MODEL, CALLERS, CALLERS).communicate(timeout=240)
    process = child(MEMORY, shell, leaks, address, MODEL, calls, CALLERS)
    out, _ = process.communicate(timeout=240)
    assert process.returncode == 0
    print(f"{shell}, {leaks}: {int(out) / 1024:.0f} KiB after {calls} calls")
    return int(out)


@pytest.mark.parametrize("shell", ["sync", "asyncio"])
def test_ten_thousand_calls_leave_no_memory_behind(fake, shell):
    assert grown(fake, shell, MEMORY_CALLS) < GROWTH_BYTES


@pytest.mark.parametrize("shell", ["sync", "asyncio"])
def test_a_leak_in_the_client_would_be_seen(fake, shell):
    """Of an answer a call; in fewer calls, what was freed before them may hold it."""
    assert grown(fake, shell, MEMORY_CALLS, "leaks") >= GROWTH_BYTES


def test_a_client_that_is_killed_in_a_stream_hurts_nobody(server, client):
    family = psutil.Process(server.pid).children(recursive=True)
    with Steady(server.address.grpc, "others go on") as others:
        for _ in range(3):
            process = child(STREAM, server.address.grpc, MODEL, 32)
            try:
                # Three answers and as many times more requests in flight.
                assert [process.stdout.readline() for _ in range(3)] == ["8\n", "16\n", "24\n"]
            finally:
                process.send_signal(signal.SIGKILL)
                process.communicate()
            answered = len(others.answers)
            assert wait_until(lambda n=answered: len(others.answers) > n + 50 or others.errors, timeout_s=60)
    assert others.errors == []
    assert running(family) == family
    assert client.classify(MODEL, "is everybody there?").model == MODEL
