"""Twenty thousand texts later the server holds as much memory as before, and a leak would be seen."""

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import malformed_grpc
import psutil
import pytest
from e2e_support import MODEL, serve_with
from wire import Call, Wire

from luxe_serving.launcher.server import free_address, running

TEXTS = 20_000
GROWTH_BYTES = 32 * 2**20
"""That so many may add, and fewer in proportion. 1.6 KiB each: no text may stay behind with its scores."""
WARM_UP = 2000
CALLERS = 16
CONTROL = 4000
LEAK_BYTES = 4096
LONG = 50
"""One text of so many is a long one."""
CACHE_BYTES = 2**20
"""The cache of answers fills up to its size, which is no leak. This size is full after the warm-up (`_ENTRY_BYTES` in
row_cache.py: at most 1250 entries), so that what follows is all forgotten again, by the code that is shipped. With the
shipped size the run would measure how it fills; with none, it would not see a cache that forgets too little."""
WORDS = [
    "boots",
    "coat",
    "order",
    "size",
    "colour",
    "late",
    "thanks",
    "broken",
    "where",
    "when",
    "please",
    "refund",
    "love",
    "great",
    "small",
    "parcel",
]

# The model that is served, and besides it keeps something of every request.
LEAKING = f"""
class TritonPythonModel(served.TritonPythonModel):
    def execute(self, requests):
        self.kept = getattr(self, "kept", []) + [bytearray({LEAK_BYTES}) for _ in requests]
        return super().execute(requests)
"""


def text(number):
    """A text that no other number has: 3 to 8 words, or 120 and more, which are cut."""
    count = 120 + number % 50 if number % LONG == 0 else 3 + number % 6
    words = [WORDS[(number // len(WORDS) ** (i % 4) + i) % len(WORDS)] for i in range(count - 1)]
    return " ".join([*words, str(number)])


def ask(address, numbers):
    """Send requests of one text, and every eighth of four, one after another."""
    texts = [text(number).encode() for number in numbers]
    with Wire(address) as wire:
        sent = 0
        while texts:
            count = 4 if sent % 8 == 7 else 1
            request = malformed_grpc.good(*texts[:count])
            reply = wire.send(Call("valid", "grpc", "ModelInfer", request.SerializeToString()))
            assert reply.answered, reply
            texts, sent = texts[count:], sent + 1


def load(address, first, count):
    """Send texts from all callers at once."""
    with ThreadPoolExecutor(CALLERS) as pool:
        calls = [pool.submit(ask, address, range(first + part, first + count, CALLERS)) for part in range(CALLERS)]
        for call in calls:
            call.result()


def resident(server):
    """Memory of the server and its stubs when they have come to rest: what each holds alone, and what they share.

    The proportional share (PSS) of anonymous pages and of shared memory, so that the segments through which Triton and
    its stubs exchange tensors count once. Pages of files are left out, which cannot leak: of a library's pages every
    other server on the machine takes a share, so the whole PSS rose by 22 MiB when a neighbour ended. RSS counts a
    page of a segment in each process.
    """
    time.sleep(1.0)
    root = psutil.Process(server.pid)
    maps = [Path(f"/proc/{p.pid}/smaps_rollup").read_text() for p in (root, *root.children(recursive=True))]
    return sum(int(size) * 1024 for text in maps for size in re.findall(r"(?m)^Pss_(?:Anon|Shmem): +(\d+) kB$", text))


def growth(repository, log, texts):
    """Return how much resident memory texts added after a warm-up, and how long they took."""
    with running(repository, free_address(), log) as server:
        load(server.address, 0, WARM_UP)
        before, began = resident(server), time.monotonic()
        load(server.address, WARM_UP, texts)
        seconds = time.monotonic() - began
        return resident(server) - before, seconds


@pytest.fixture
def repository(copy):
    """The shipped model, with a small cache of answers."""
    (settings,) = copy.repository.glob(f"{MODEL}/[0-9]*/luxe.json")
    values = json.loads(settings.read_text(encoding="utf-8"))
    assert values["cache_bytes"] > CACHE_BYTES
    settings.write_text(json.dumps({**values, "cache_bytes": CACHE_BYTES}), encoding="utf-8")
    return copy.repository


@pytest.fixture
def leaking(repository):
    """The same, but it keeps something of every request."""
    serve_with(repository, LEAKING)
    return repository


def test_texts_differ():
    assert len({text(number) for number in range(WARM_UP + TEXTS)}) == WARM_UP + TEXTS


def test_memory_does_not_grow(repository, tmp_path):
    grown, seconds = growth(repository, tmp_path / "triton.log", TEXTS)
    print(f"{grown / 2**20:.1f} MiB after {TEXTS} texts in {seconds:.0f} s")
    assert grown < GROWTH_BYTES, f"{grown / 2**20:.1f} MiB after {TEXTS} texts"


def test_a_leak_would_be_seen(leaking, tmp_path):
    grown, seconds = growth(leaking, tmp_path / "triton.log", CONTROL)
    print(f"{grown / 2**20:.1f} MiB after {CONTROL} texts in {seconds:.0f} s")
    assert grown >= GROWTH_BYTES * CONTROL / TEXTS, f"{grown / 2**20:.1f} MiB after {CONTROL} texts"
