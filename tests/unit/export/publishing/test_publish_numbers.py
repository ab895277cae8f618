"""Which number a version gets: one that none had, whatever was deleted, and none that no other may follow."""

import shutil

import pytest
from published import ENGINE, TEXT
from servable import engine_parts, files, put

from luxe.errors import UserError
from luxe_export.publishing import publish
from luxe_export.publishing.publish import Parts


def test_versions_are_numbers(repository):
    for version in range(1, 12):
        assert put(repository) == version
    assert publish.latest_manifest(repository, TEXT)["version"] == 11


def test_two_models_are_numbered_apart(repository):
    put(repository)
    put(repository)
    other = Parts("shapes", {"config.pbtxt": b"text config"}, {"luxe.json": b""})
    assert publish.publish(repository, Parts("shapes-engine", {}, {"model.onnx": b""}), other, {}) == 1


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
