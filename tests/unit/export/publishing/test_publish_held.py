"""Publishers held in the middle of a copy: killed there, or another one waiting for its turn."""

import json
import os
import time

import pytest
from published import ENGINE, TEXT
from servable import WAIT_S, assert_servable, put

PUBLISHER = """
import sys
from pathlib import Path
from luxe_export.publishing import publish
from luxe_export.publishing.publish import Parts

repository, engine, text, mark = map(Path, sys.argv[1:])
shared = {"config.pbtxt": b"text config", "labels.txt": b"red\\ngreen\\n"}
print("starting", flush=True)
print(
    publish.publish(
        repository,
        Parts("colours-engine", {"config.pbtxt": b"engine config"}, {"model.onnx": engine}),
        Parts("colours", shared, {"luxe.json": text, "tokenizer.json": b"{}"}),
        {"mark": mark.name},
    )
)
"""


class Pipe:
    """A source file whose end the test holds back, so that a publisher stands in the middle of its copy."""

    def __init__(self, path):
        os.mkfifo(path)
        self.path = path

    def open(self, process):
        """Wait for the publisher to read, and give it the first megabyte."""
        end = time.monotonic() + WAIT_S
        while True:
            try:
                self._descriptor = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
                break
            except OSError:  # nobody reads yet
                assert process.poll() is None, process.communicate()[1]
                assert time.monotonic() < end
                time.sleep(0.01)
        os.set_blocking(self._descriptor, True)
        os.write(self._descriptor, bytes(2**20))

    def finish(self):
        os.write(self._descriptor, b"end")
        self.close()

    def close(self):
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None


@pytest.fixture
def pipe(tmp_path):
    pipe = Pipe(tmp_path / "pipe")
    yield pipe
    pipe.close()


@pytest.fixture
def plain(tmp_path):
    (tmp_path / "plain").write_bytes(b"whole")
    return tmp_path / "plain"


@pytest.mark.parametrize("published", [0, 1, 2])
@pytest.mark.parametrize("killed_in", ["engine", "text"])
def test_a_killed_publisher_leaves_nothing_half_written(repository, pipe, plain, start_python, published, killed_in):
    for _ in range(published):
        put(repository)
    repository.mkdir(exist_ok=True)
    sources = (pipe.path, plain) if killed_in == "engine" else (plain, pipe.path)
    process = start_python(PUBLISHER, repository, *sources, "killed")
    pipe.open(process)
    process.kill()
    process.wait(WAIT_S)
    assert_servable(repository)
    # The lock went with its holder, and what was left is in nobody's way.
    version = put(repository)
    assert version > published
    assert_servable(repository)


def test_killed_publishers_do_not_add_up(repository, tmp_path, plain, start_python):
    put(repository)
    for attempt in range(3):
        pipe = Pipe(tmp_path / f"pipe-{attempt}")
        process = start_python(PUBLISHER, repository, plain, pipe.path, "killed")
        pipe.open(process)
        process.kill()
        process.wait(WAIT_S)
        pipe.close()
    assert_servable(repository)


@pytest.mark.parametrize("published", [0, 1])
def test_two_publishers_at_once_give_two_versions(repository, pipe, plain, start_python, published):
    for _ in range(published):
        put(repository)
    first = start_python(PUBLISHER, repository, pipe.path, plain, "first")
    pipe.open(first)
    second = start_python(PUBLISHER, repository, plain, plain, "second")
    assert second.stdout.readline() == "starting\n"
    end = time.monotonic() + 1.0
    while time.monotonic() < end:  # the second could be done by now, many times over
        assert second.poll() is None
        time.sleep(0.05)
    pipe.finish()
    versions = [int(process.communicate(timeout=WAIT_S)[0].split()[-1]) for process in (first, second)]
    assert versions == [published + 1, published + 2]
    for version, mark in zip(versions, ("first", "second"), strict=True):
        manifest = json.loads((repository / TEXT / str(version) / "manifest.json").read_text())
        assert (manifest["mark"], manifest["version"]) == (mark, version)
    sizes = [(repository / ENGINE / str(v) / "model.onnx").stat().st_size for v in versions]
    assert sizes == [2**20 + 3, 5]
    assert_servable(repository)
