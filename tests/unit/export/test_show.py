"""Whether an export has been done already."""

import pytest

from luxe_export.publishing.publish import Parts, publish
from luxe_export.publishing.rollback import rollback
from luxe_export.show import published_with

TEXT = "colours"
ONNX = b"\x08\x08\x3a\x00\x42\x02\x10\x12"


def put(repository, inputs):
    """Publish what an export of these inputs might have made."""
    engine = Parts(f"{TEXT}-engine", {"config.pbtxt": b"engine"}, {"model.onnx": ONNX})
    text = Parts(TEXT, {"config.pbtxt": b"text"}, {"luxe.json": inputs.encode()})
    return publish(repository, engine, text, {"precision": f"of-{inputs}", "inputs_sha256": inputs})


@pytest.fixture
def repository(tmp_path):
    """Versions of inputs a, b and c."""
    for inputs in "abc":
        put(tmp_path / "model_repository", inputs)
    return tmp_path / "model_repository"


@pytest.fixture
def said(capsys):
    return lambda: " ".join(capsys.readouterr().err.split())


def test_nothing_is_published_yet(tmp_path):
    assert published_with(tmp_path / "model_repository", TEXT, "a") is None


def test_what_is_current_is_up_to_date(repository, said):
    assert published_with(repository, TEXT, "c") == (3, "of-c")
    assert said() == f"{TEXT} version 3 (of-c) is up to date"


@pytest.mark.parametrize("inputs", ["b", "d"])
def test_what_is_older_or_new_is_exported(repository, said, inputs):
    """Older inputs that came back are a new version: the current one is not of them."""
    assert published_with(repository, TEXT, inputs) is None
    assert said() == ""


def test_what_was_rolled_back_is_not_published_again(repository, said):
    assert rollback(repository, TEXT) == (4, 2)
    assert published_with(repository, TEXT, "c") == (4, "of-b")
    line = said()
    assert "version 4 was rolled back to version 2" in line and "since version 3" in line and "--force" in line


def test_after_a_rollback_its_inputs_are_up_to_date(repository, said):
    rollback(repository, TEXT)
    assert published_with(repository, TEXT, "b") == (4, "of-b")
    assert "up to date" in said()


def test_after_two_rollbacks(repository, said):
    rollback(repository, TEXT)
    rollback(repository, TEXT)
    for inputs in "bc":
        assert published_with(repository, TEXT, inputs) == (5, "of-a")
        assert "rolled back to version 1" in said()
    assert published_with(repository, TEXT, "a") == (5, "of-a")
    assert "up to date" in said()


def test_after_a_rollback_new_inputs_are_exported(repository, said):
    rollback(repository, TEXT)
    assert published_with(repository, TEXT, "d") is None
    assert put(repository, "d") == 5
    assert published_with(repository, TEXT, "d") == (5, "of-d")
    assert "up to date" in said()
    assert published_with(repository, TEXT, "c") is None  # the rollback is over


def test_older_inputs_than_those_rolled_back_to_are_exported(repository, said):
    """Nobody has turned them down: the rollback left what is newer."""
    rollback(repository, TEXT)
    assert published_with(repository, TEXT, "a") is None
    assert said() == ""
