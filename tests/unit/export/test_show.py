"""Whether an export has been done already, and what is said of one."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from published import ONNX, TEXT

from luxe_export.publishing.publish import Parts, publish
from luxe_export.publishing.rollback import rollback
from luxe_export.show import published_with


def put(repository, inputs, key=None):
    """Publish what an export of these inputs might have made."""
    engine = Parts(f"{TEXT}-engine", {"config.pbtxt": b"engine"}, {"model.onnx": ONNX})
    text = Parts(TEXT, {"config.pbtxt": b"text"}, {"luxe.json": inputs.encode()})
    return publish(repository, engine, text, {"precision": f"of-{inputs}", "inputs_sha256": inputs}, key=key)


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


@pytest.mark.parametrize("content", ["{", "[1]", "7", "{}", '{"inputs_sha256": "b"}', None])
@pytest.mark.parametrize("inputs", ["b", "c"])
def test_without_the_newest_manifest_nothing_is_up_to_date(repository, said, content, inputs):
    path = repository / TEXT / "3" / "manifest.json"
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    assert published_with(repository, TEXT, inputs) is None
    assert said() == ""


@pytest.mark.parametrize("entry", [TEXT, "shapes"])
def test_the_manifest_of_another_version_says_nothing(repository, said, entry):
    """Not even where it is signed: it was copied there."""
    manifest = (repository / TEXT / "2" / "manifest.json").read_text()
    if entry != TEXT:
        manifest = manifest.replace(f"{TEXT}", entry).replace("/2/", "/3/").replace(": 2,", ": 3,")
    (repository / TEXT / "3" / "manifest.json").write_text(manifest)
    assert published_with(repository, TEXT, "b") is None
    assert said() == ""


def test_an_older_manifest_of_another_shape_is_left_out(repository, said):
    (repository / TEXT / "1" / "manifest.json").write_text("[1]")
    assert published_with(repository, TEXT, "c") == (3, "of-c")


def test_with_a_key_only_what_it_signed_is_up_to_date(repository, said):
    key, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    assert published_with(repository, TEXT, "c", key=key.public_key()) is None
    put(repository, "c", key=key)
    assert published_with(repository, TEXT, "c", key=other.public_key()) is None
    assert said() == ""
    assert published_with(repository, TEXT, "c", key=key.public_key()) == (4, "of-c")
    assert published_with(repository, TEXT, "c") == (4, "of-c")
    manifest = repository / TEXT / "4" / "manifest.json"
    manifest.write_bytes(manifest.read_bytes() + b" ")
    assert published_with(repository, TEXT, "c", key=key.public_key()) is None


def test_what_was_rolled_back_is_not_published_again(repository, said):
    assert rollback(repository, TEXT) == (4, 2)
    assert published_with(repository, TEXT, "c") == (4, "of-b")
    line = said()
    assert "version 4 was rolled back to version 2" in line and "since version 3" in line and "--force" in line


def test_a_key_does_not_undo_a_rollback(repository, said):
    rollback(repository, TEXT)
    assert published_with(repository, TEXT, "c", key=Ed25519PrivateKey.generate().public_key()) == (4, "of-b")
    assert "--force" in said()


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
