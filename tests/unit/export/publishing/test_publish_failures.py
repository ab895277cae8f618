"""Publishing that fails leaves everything as it was, and says why in a line; places where it cannot or just can."""

import errno
import os
import shutil
from pathlib import Path

import pytest
from published import ENGINE, TEXT
from servable import WAIT_S, assert_servable, engine_parts, files, put, text_parts

from luxe import access
from luxe import repository as store
from luxe.errors import UserError
from luxe_export.publishing import publish
from luxe_export.publishing.publish import Parts

FAILING = {
    "engine": lambda missing: (engine_parts(missing), text_parts()),
    "text": lambda missing: (engine_parts(b"onnx 2"), text_parts(missing)),
}


@pytest.mark.parametrize("failing", FAILING)
@pytest.mark.parametrize("published", [0, 1, 2])
def test_a_failure_leaves_everything_as_it_was(repository, tmp_path, published, failing):
    for _ in range(published):
        put(repository)
    repository.mkdir(exist_ok=True)
    before = files(tmp_path)
    engine, text = FAILING[failing](tmp_path / "missing")
    with pytest.raises(UserError, match="missing"):
        publish.publish(repository, engine, text, {})
    assert files(tmp_path) == before


@pytest.mark.parametrize("failing", FAILING)
def test_failures_do_not_add_up(repository, tmp_path, failing):
    """The engine keeps its two newest versions loaded; the text model must not lose its own."""
    put(repository)
    engine, text = FAILING[failing](tmp_path / "missing")
    for _ in range(3):
        with pytest.raises(UserError):
            publish.publish(repository, engine, text, {})
    assert_servable(repository)
    put(repository)
    assert_servable(repository)


def test_an_interruption_cleans_up(repository, tmp_path):
    class Interrupting(dict):
        def items(self):
            yield "model.onnx", b"half"
            raise KeyboardInterrupt

    put(repository)
    before = files(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        put(repository, Parts(ENGINE, {"config.pbtxt": b"config"}, Interrupting()))
    assert files(tmp_path) == before


@pytest.mark.parametrize("where", ["file/model_repository", "file", "link", "/proc/self/fd"])
def test_a_repository_that_cannot_be_written(tmp_path, where):
    (tmp_path / "file").write_text("a file")
    (tmp_path / "link").symlink_to("/proc/self/no-such-folder")
    repository = tmp_path / where
    for attempt in (lambda: publish.check_writable(repository, TEXT), lambda: put(repository)):
        with pytest.raises(UserError) as caught:
            attempt()
        assert str(repository) in str(caught.value)


@pytest.mark.parametrize("published", [0, 1])
@pytest.mark.parametrize("entry", [ENGINE, TEXT])
def test_where_a_version_will_be_staged_must_be_writable_too(repository, monkeypatch, published, entry):
    """Before hours go into an export: a new entry is staged beside the repository, a version in its entry."""
    publish.check_writable(repository, TEXT)
    if published:
        put(repository)
        shutil.rmtree(repository / entry)
        (repository / entry).write_text("in the way")
        named = repository / entry
    else:
        named = Path("/proc/self/fd")
        monkeypatch.setattr(store, "beside", lambda _: named)
    with pytest.raises(UserError, match=f"{named} is not writable"):
        publish.check_writable(repository, TEXT)


def test_a_lock_that_is_none(repository, start_python):
    """A pipe, which an open would wait at, and for ever."""
    put(repository)
    (repository / ".lock").unlink()
    os.mkfifo(repository / ".lock")
    program = (
        "import sys; from pathlib import Path; from luxe import access\n"
        "with access.reading(Path(sys.argv[1])): print('read')"
    )
    assert start_python(program, repository).communicate(timeout=WAIT_S) == ("read\n", "")
    with pytest.raises(UserError, match=r"\.lock: not a regular file"):
        put(repository)
    with pytest.raises(OSError, match="not a regular file"), access.writing(repository):
        pass


def test_a_write_that_fails_is_one_plain_line(repository, monkeypatch):
    """A full disk names no file."""

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    put(repository)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError) as caught:
        put(repository)
    assert str(caught.value) == f"cannot change {repository}: No space left on device"


def test_an_entry_that_is_a_file(repository, tmp_path):
    repository.mkdir()
    (repository / ENGINE).write_text("in the way")
    before = files(tmp_path)
    with pytest.raises(UserError, match=str(repository)):
        put(repository)
    assert files(tmp_path) == before


def test_a_repository_on_another_file_system_than_its_parent(tmp_path):
    """As a volume that is mounted, where a rename from beside it fails."""
    volume = Path(f"/dev/shm/luxe-test-{os.getpid()}")
    volume.mkdir()
    try:
        if volume.stat().st_dev == tmp_path.stat().st_dev:
            pytest.fail("this test needs a second file system, such as /dev/shm")
        (tmp_path / "model_repository").symlink_to(volume)
        assert put(tmp_path / "model_repository") == 1
        assert put(tmp_path / "model_repository") == 2
        assert_servable(volume)
    finally:
        shutil.rmtree(volume)
