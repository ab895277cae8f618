import errno
import hashlib
import json
import os
import shutil
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from luxe import access
from luxe import repository as store
from luxe.errors import UserError
from luxe_export.publishing import publish
from luxe_export.publishing.publish import Parts

WAIT_S = 30.0
ENGINE, TEXT = "colours-engine", "colours"
NOTES = {".lock", ".colours.json"}


def engine_parts(content=b"onnx 1", config=b"engine config"):
    return Parts(ENGINE, {"config.pbtxt": config}, {"model.onnx": content})


def text_parts(content=b"settings 1", config=b"text config"):
    shared = {"config.pbtxt": config, "labels.txt": b"red\ngreen\n"}
    return Parts(TEXT, shared, {"luxe.json": content, "tokenizer.json": b"{}"})


def put(repository, engine=None, text=None, **manifest):
    return publish.publish(repository, engine or engine_parts(), text or text_parts(), manifest)


def files(folder):
    """Every file and folder below, with content; the lock is not data."""
    return {
        str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None
        for p in folder.rglob("*")
        if p.name != ".lock"
    }


def assert_servable(repository):
    """Everything that Triton would load is complete: every folder is a model, every number a version."""
    wanted = {
        ENGINE: {"model.onnx", "config.pbtxt"},
        TEXT: {"luxe.json", "tokenizer.json", "manifest.json", "config.pbtxt", "labels.txt"},
    }
    for folder in (p for p in repository.iterdir() if p.is_dir()):
        assert folder.name in wanted
        assert (folder / "config.pbtxt").read_bytes().endswith(b"config")
        versions = [p for p in folder.iterdir() if p.name.isdecimal()]
        assert versions, "Triton fails to start on a model without versions"
        for version in versions:
            assert {p.name for p in version.iterdir()} == wanted[folder.name]
        if folder.name == TEXT:
            assert (folder / "labels.txt").read_bytes() == b"red\ngreen\n"
            newest = max(int(version.name) for version in versions)
            engines = sorted(int(p.name) for p in (repository / ENGINE).iterdir() if p.name.isdecimal())
            # The engine's version policy keeps two loaded, and the text model calls its own version.
            assert newest in engines[-2:]


@pytest.fixture
def repository(tmp_path):
    return tmp_path / "model_repository"


def test_a_new_model(repository):
    assert put(repository, precision="int8") == 1
    manifest = json.loads((repository / TEXT / "1" / "manifest.json").read_text())
    listed = manifest.pop("files")
    assert manifest == {"precision": "int8", "model": TEXT, "version": 1, "rollback_of": None}
    found = files(repository)
    assert json.loads(found.pop(".colours.json"))["last"] == 1
    for path, facts in listed.items():
        content = found[path]
        shared = path.endswith((".pbtxt", "labels.txt"))
        assert facts == {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "shared": shared}
    assert listed.keys() == {p for p in found if p.count("/") == 2} - {"colours/1/manifest.json"}
    del found["colours/1/manifest.json"]
    assert found == {
        "colours-engine": None,
        "colours-engine/config.pbtxt": b"engine config",
        "colours-engine/1": None,
        "colours-engine/1/config.pbtxt": b"engine config",
        "colours-engine/1/model.onnx": b"onnx 1",
        "colours": None,
        "colours/config.pbtxt": b"text config",
        "colours/labels.txt": b"red\ngreen\n",
        "colours/1": None,
        "colours/1/config.pbtxt": b"text config",
        "colours/1/labels.txt": b"red\ngreen\n",
        "colours/1/luxe.json": b"settings 1",
        "colours/1/tokenizer.json": b"{}",
    }
    assert_servable(repository)


def test_nothing_else_is_left(repository, tmp_path):
    put(repository)
    put(repository)
    assert [p.name for p in tmp_path.iterdir()] == [repository.name]
    assert {p.name for p in repository.iterdir()} == {ENGINE, TEXT, *NOTES}
    assert {p.name for p in (repository / TEXT).iterdir()} == {"1", "2", "config.pbtxt", "labels.txt"}


def test_other_users_may_read_it(repository):
    put(repository)
    put(repository)
    for path in [repository / ENGINE, *repository.glob("*/*"), *repository.glob("*/*/*")]:
        assert path.stat().st_mode & 0o444 == 0o444, path
        assert path.is_file() or path.stat().st_mode & 0o111 == 0o111, path


def test_a_file_is_copied(repository, tmp_path):
    source = tmp_path / "candidate.onnx"
    source.write_bytes(b"weights")
    put(repository, engine_parts(source))
    source.write_bytes(b"other weights")
    assert (repository / ENGINE / "1" / "model.onnx").read_bytes() == b"weights"


def test_the_next_version_keeps_the_last(repository):
    put(repository)
    before = files(repository)
    assert put(repository, engine_parts(b"onnx 2"), text_parts(b"settings 2", b"new text config")) == 2
    after = files(repository)
    assert {k: v for k, v in after.items() if "/1/" in k} == {k: v for k, v in before.items() if "/1/" in k}
    assert after["colours-engine/2/model.onnx"] == b"onnx 2"
    assert after["colours/2/luxe.json"] == b"settings 2"
    assert after["colours/config.pbtxt"] == after["colours/2/config.pbtxt"] == b"new text config"
    assert after["colours/1/config.pbtxt"] == b"text config"
    assert json.loads(after["colours/2/manifest.json"])["version"] == 2
    assert_servable(repository)


def test_versions_are_numbers(repository):
    for version in range(1, 12):
        assert put(repository) == version
    assert publish.latest_manifest(repository, TEXT)["version"] == 11


@pytest.mark.parametrize("entry", [ENGINE, TEXT])
def test_a_deleted_version_is_not_given_again(repository, entry):
    put(repository, engine_parts(b"onnx 1"))
    put(repository, engine_parts(b"onnx 2"))
    shutil.rmtree(repository / entry / "2")
    assert put(repository, engine_parts(b"onnx 3")) == 3
    assert (repository / ENGINE / "3" / "model.onnx").read_bytes() == b"onnx 3"
    assert (repository / TEXT / "3" / "manifest.json").is_file()


@pytest.mark.parametrize("entry", [ENGINE, TEXT])
def test_a_deleted_entry_is_made_again(repository, entry):
    put(repository)
    put(repository)
    shutil.rmtree(repository / entry)
    assert put(repository) == 3
    assert {p.name for p in (repository / entry).iterdir() if p.is_dir()} == {"3"}


def test_what_is_no_version_does_not_count(repository):
    put(repository)
    for name in ("007", "v9", "12.bak", "-3", ".5"):
        (repository / TEXT / name).mkdir()
    (repository / TEXT / "40").write_text("a file")
    assert put(repository) == 2


@pytest.mark.parametrize("entry", [ENGINE, TEXT])
@pytest.mark.parametrize("number", [2**62 - 1, 10**20 - 1])
def test_a_number_that_none_may_follow(repository, entry, number):
    """The model is refused before its note is spoilt, and with it every change of the others."""
    put(repository)
    (repository / entry / str(number)).mkdir()
    before = files(repository)
    with pytest.raises(UserError, match=f"{entry}/{number}: "):
        put(repository)
    assert files(repository) == before
    other = Parts("shapes", {"config.pbtxt": b"text config"}, {"luxe.json": b""})
    assert publish.publish(repository, Parts("shapes-engine", {}, {"model.onnx": b""}), other, {}) == 1


def test_the_highest_number_that_another_may_follow(repository):
    put(repository)
    (repository / TEXT / str(2**62 - 2)).mkdir()
    assert put(repository) == 2**62 - 1
    with pytest.raises(UserError, match=f"{2**62 - 1}: "):
        put(repository)


@pytest.mark.parametrize(("engine", "text"), [("colour-engine", TEXT), ("a-engine-engine", "a-engine")])
def test_names_that_do_not_fit(repository, engine, text):
    with pytest.raises(UserError, match="NAME-engine"):
        publish.publish(repository, Parts(engine, {}, {}), Parts(text, {}, {}), {})
    assert not list(repository.glob("[!.]*"))


def test_what_the_exporter_says_does_not_overrule_what_is(repository):
    put(repository, version=9, model="shapes", files={}, rollback_of=7, precision="int8")
    manifest = publish.latest_manifest(repository, TEXT)
    assert (manifest["version"], manifest["model"], manifest["rollback_of"]) == (1, TEXT, None)
    assert len(manifest["files"]) == 6 and manifest["precision"] == "int8"


def test_a_signature_lies_beside_the_manifest(repository):
    key = Ed25519PrivateKey.generate()
    publish.publish(repository, engine_parts(), text_parts(), {}, key=key)
    folder = repository / TEXT / "1"
    key.public_key().verify((folder / "manifest.json.sig").read_bytes(), (folder / "manifest.json").read_bytes())


def test_two_models_are_numbered_apart(repository):
    put(repository)
    put(repository)
    other = Parts("shapes", {"config.pbtxt": b"text config"}, {"luxe.json": b""})
    assert publish.publish(repository, Parts("shapes-engine", {}, {"model.onnx": b""}), other, {}) == 1


def test_the_latest_manifest(repository):
    assert publish.latest_manifest(repository, TEXT) is None
    put(repository, precision="fp32")
    assert publish.latest_manifest(repository, TEXT)["precision"] == "fp32"
    put(repository, precision="int8 für café")
    assert publish.latest_manifest(repository, TEXT)["precision"] == "int8 für café"


@pytest.mark.parametrize("content", ["[1]", "{}", "7", '{"model": "colours", "version": 2}', "{", ""])
def test_a_manifest_of_another_shape_counts_as_none(repository, content):
    put(repository, precision="fp32")
    put(repository, precision="int8")
    (repository / TEXT / "2" / "manifest.json").write_text(content)
    assert publish.latest_manifest(repository, TEXT)["precision"] == "fp32"


def test_a_spoilt_manifest_counts_as_none(repository):
    put(repository, precision="fp32")
    put(repository, precision="int8")
    (repository / TEXT / "2" / "manifest.json").write_text("{")
    assert publish.latest_manifest(repository, TEXT)["precision"] == "fp32"


def test_a_manifest_is_utf8_on_every_machine(repository, start_python):
    put(repository, precision="café")
    program = (
        "import sys; from pathlib import Path; from luxe_export.publishing import publish;"
        "sys.stdout.buffer.write(publish.latest_manifest(Path(sys.argv[1]), 'colours')['precision'].encode())"
    )
    # Python warns of an `open` that leaves the encoding to the machine's locale; here that is fatal.
    options = ("-X", "warn_default_encoding", "-W", "error::EncodingWarning")
    process = start_python(program, repository, options=options)
    out, err = process.communicate(timeout=WAIT_S)
    assert (process.returncode, out) == (0, "café"), err


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
