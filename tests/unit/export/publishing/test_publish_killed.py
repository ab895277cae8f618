"""Publishers that are killed at any moment, and many at once, under the eyes of readers."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from published import ENGINE, ONNX, TEXT

from luxe import access
from luxe import repository as store
from luxe.verify import verify

KILLING_S = 5.0

# Imports once and forks at every line it reads, so that a kill meets a publisher at work and not at its imports.
# Every version changes every file, those beside the versions too, and whether there are labels.
NURSERY = """
import itertools, os, sys
from pathlib import Path
from luxe.errors import UserError
from luxe_export.publishing.prune import prune
from luxe_export.publishing.publish import Parts, publish
from luxe_export.publishing.rollback import rollback

repository, given = Path(sys.argv[1]), os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def note(number):
    os.write(given, f"{number}\\n".encode())

def work(rounds, mixed):
    for number in range(rounds):
        mark = f"{os.getpid()}.{number}".encode()
        onnx = b"\\x08\\x08\\x3a\\x00\\x42\\x02\\x10\\x12\\x12" + bytes([len(mark)]) + mark
        shared = {"config.pbtxt": b"text " + mark} | ({"labels.txt": mark} if number % 2 else {})
        engine = Parts("colours-engine", {"config.pbtxt": b"engine " + mark}, {"model.onnx": onnx})
        note(publish(repository, engine, Parts("colours", shared, {"luxe.json": mark}), {}))
        if mixed and number % 3 == 2:
            note(rollback(repository, "colours")[0])
            prune(repository, "colours", keep=4)

for line in sys.stdin:
    word, *values = line.split()
    if word == "start":
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                work(int(values[0]), values[1] == "mixed")
                status = 0
            except BaseException as error:
                print("child:", repr(error), file=sys.stderr, flush=True)
            finally:
                os._exit(status)
        print(pid, flush=True)
    else:
        print(os.waitpid(int(values[0]), 0)[1], flush=True)
"""


class Nursery:
    def __init__(self, repository, given):
        command = [sys.executable, "-W", "error", "-c", NURSERY, str(repository), str(given)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._given = given

    def _ask(self, *words):
        print(*words, file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())

    def start(self, rounds, kind="plain"):
        return self._ask("start", rounds, kind)

    def end(self, pid):
        """Wait for a publisher's end; returns its status as `os.waitpid` gives it."""
        return self._ask("wait", pid)

    def given(self):
        """The numbers that publishers lived to report."""
        return [int(line) for line in self._given.read_text().splitlines()]

    def close(self):
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


@pytest.fixture
def repository(tmp_path):
    (tmp_path / "model_repository").mkdir()
    return tmp_path / "model_repository"


@pytest.fixture
def nursery(repository, tmp_path):
    nursery = Nursery(repository, tmp_path / "given")
    yield nursery
    nursery.close()


def names(folder):
    return {path.name for path in folder.iterdir()}


def look(repository, seen):
    """A reader with the lock: all is as published, and no number ever means something else than it did."""
    with access.reading(repository):
        assert verify(repository).findings == []
        versions = store.versions(repository / TEXT)
        assert versions == store.versions(repository / ENGINE)
        for number in versions:
            mark = (repository / TEXT / str(number) / "luxe.json").read_bytes()
            assert seen.setdefault(number, mark) == mark, "a number was given twice"
        if versions:
            assert (repository / TEXT / "config.pbtxt").read_bytes() == b"text " + mark
            assert (repository / ENGINE / "config.pbtxt").read_bytes() == b"engine " + mark
    return versions


def look_without_lock(repository):
    """A server that polls: the newest version is whole, and its engine is there and among the two that are loaded."""
    for _ in range(3):
        newest = store.versions(repository / TEXT)[-1:]
        if not newest:
            return
        number = str(newest[0])
        with contextlib.suppress(FileNotFoundError):
            assert {"config.pbtxt", "luxe.json", "manifest.json"} <= names(repository / TEXT / number)
            assert names(repository / ENGINE / number) == {"config.pbtxt", "model.onnx"}
            assert (repository / TEXT / "config.pbtxt").is_file()
            assert (repository / ENGINE / "config.pbtxt").is_file()
            engines = store.versions(repository / ENGINE)
            if store.versions(repository / TEXT)[-1:] == newest:
                assert newest[0] in engines[-2:]
            return
    raise AssertionError(f"version {number} is half there")


@pytest.mark.parametrize("kind", ["plain", "mixed"])
def test_killed_at_any_moment(repository, nursery, kind):
    chance = random.Random(3)
    seen, cut_off, kills = {}, 0, 0
    begin = time.monotonic()
    # On a busy machine it takes longer until enough of them were met at work.
    while time.monotonic() < begin + KILLING_S or kills < 20 or cut_off < 5:
        assert time.monotonic() < begin + 20 * KILLING_S, (kills, cut_off)
        pids = [nursery.start(10_000, kind) for _ in range(2)]  # the one takes over from the other
        for pid in pids:
            until = time.monotonic() + chance.uniform(0, 0.12)
            while time.monotonic() < until:
                look_without_lock(repository)
                if chance.random() < 0.1:
                    look(repository, seen)
            os.kill(pid, signal.SIGKILL)
            assert nursery.end(pid) == signal.SIGKILL, "it ended before it was killed"
            kills += 1
        cut_off += access._cut_off(repository)
        look_without_lock(repository)
        look(repository, seen)
        assert not access._cut_off(repository)
        assert names(repository) <= {TEXT, ENGINE, ".lock", ".colours.json"}
        assert [p.name for p in repository.parent.glob(".*")] == []
    given = nursery.given()
    assert len(given) == len(set(given))
    assert len(given) >= 20, given


def test_several_at_once(repository, nursery):
    seen = {}
    pids = [nursery.start(10) for _ in range(4)]
    end = time.monotonic() + 60
    while len(nursery.given()) < 40:
        assert time.monotonic() < end
        look_without_lock(repository)
        look(repository, seen)
    assert [nursery.end(pid) for pid in pids] == [0, 0, 0, 0]
    assert sorted(nursery.given()) == look(repository, seen) == list(range(1, 41))


# Where a publisher is between two steps: it stops there for good, as if killed.
STEPS = ["staged", "engine shown", "text shown", "engine settled"]


@pytest.mark.parametrize("published", [0, 1, 2])
@pytest.mark.parametrize("step", STEPS)
def test_killed_between_the_renames(repository, start_python, published, step):
    program = f"""
import os, sys
from pathlib import Path
from luxe import repository as store
from luxe_export.publishing import publish as module
from luxe_export.publishing.publish import Parts, publish

step, calls = {step!r}, 0

def stop_at(place):
    if place == step and os.environ.get("LUXE_TEST_STOP"):
        os.kill(os.getpid(), 9)

rename, replace = Path.rename, Path.replace

def counted(self, target):
    if "colours" in str(target) and not str(target).endswith(".json"):
        if "engine" in str(target):
            stop_at("staged")
            result = rename(self, target)
            stop_at("engine shown")
            return result
        result = rename(self, target)
        stop_at("text shown")
        return result
    return rename(self, target)

def replaced(self, target):
    result = replace(self, target)
    if str(target).endswith("colours-engine/config.pbtxt") or str(target).endswith("colours/config.pbtxt"):
        stop_at("engine settled")
    return result

Path.rename, Path.replace = counted, replaced
for number in range({published} + 1):
    if number == {published}:
        os.environ["LUXE_TEST_STOP"] = "1"
    mark = str(number).encode()
    engine = Parts("colours-engine", {{"config.pbtxt": b"engine " + mark}}, {{"model.onnx": {ONNX!r}}})
    text = Parts("colours", {{"config.pbtxt": b"text " + mark}}, {{"luxe.json": mark}})
    publish(Path(sys.argv[1]), engine, text, {{}})
"""
    process = start_python(program, repository)
    process.communicate(timeout=30)
    first = published == 0
    assert process.returncode == (0 if step == "engine settled" and first else -9)
    look_without_lock(repository)
    committed = step in ("text shown", "engine settled")
    assert len(look(repository, {})) == published + committed
