import hashlib
import json
import os
import shutil

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from json_files import change_json
from published import ENGINE, ONNX, TEXT

from luxe.errors import UserError
from luxe.verify import verify
from luxe_export.publishing.prune import prune
from luxe_export.publishing.publish import Parts, publish
from luxe_export.publishing.rollback import rollback


def put(repository, number, key=None, labels=b"red\n"):
    """Publish a version whose every file says its number."""
    mark = str(number).encode()
    onnx = ONNX + b"\x12" + bytes([len(mark)]) + mark
    shared = {"config.pbtxt": b"text " + mark} | ({"labels.txt": labels} if labels else {})
    engine = Parts(ENGINE, {"config.pbtxt": b"engine " + mark}, {"model.onnx": onnx})
    return publish(repository, engine, Parts(TEXT, shared, {"luxe.json": mark}), {"precision": f"int{number}"}, key=key)


def content(repository, version):
    """Every file of a version but its manifest, and the files beside it, by name."""
    folders = [repository / entry / str(version) for entry in (TEXT, ENGINE)]
    return {f"{f.parent.name}/{p.name}": p.read_bytes() for f in folders for p in f.glob("[!m]*")} | {
        "onnx": (folders[1] / "model.onnx").read_bytes()
    }


def beside(repository):
    return {f"{e}/{p.name}": p.read_bytes() for e in (TEXT, ENGINE) for p in (repository / e).iterdir() if p.is_file()}


@pytest.fixture
def repository(tmp_path):
    for number in (1, 2, 3):
        put(tmp_path / "model_repository", number)
    return tmp_path / "model_repository"


def current(repository):
    """The mark in the newest version."""
    newest = max(int(p.name) for p in (repository / TEXT).iterdir() if p.is_dir())
    return int((repository / TEXT / str(newest) / "luxe.json").read_text())


def test_the_older_files_become_the_next_version(repository):
    before = {number: content(repository, number) for number in (1, 2, 3)}
    assert rollback(repository, TEXT) == (4, 2)
    assert content(repository, 4) == before[2] and before[2] != before[3]
    assert {number: content(repository, number) for number in (1, 2, 3)} == before
    assert beside(repository) == {
        f"{TEXT}/config.pbtxt": b"text 2",
        f"{TEXT}/labels.txt": b"red\n",
        f"{ENGINE}/config.pbtxt": b"engine 2",
    }
    assert verify(repository).findings == []
    old, new = (json.loads((repository / TEXT / v / "manifest.json").read_text()) for v in ("2", "4"))
    assert (new["version"], new["rollback_of"], new["precision"]) == (4, 2, "int2")
    moved = {p.replace("/2/", "/4/"): facts for p, facts in old["files"].items()}
    assert new["files"] == moved


def test_two_in_turn_go_back_two_steps(repository):
    assert [rollback(repository, TEXT), rollback(repository, TEXT)] == [(4, 2), (5, 1)]
    assert current(repository) == 1
    with pytest.raises(UserError, match="nothing to go back to"):
        rollback(repository, TEXT)
    assert verify(repository).findings == []


def test_after_a_new_version_the_way_back_begins_anew(repository):
    rollback(repository, TEXT)
    assert put(repository, 5) == 5
    rollback(repository, TEXT)
    assert current(repository) == 2, "what was served before version 5"
    rollback(repository, TEXT)
    assert current(repository) == 1


def test_the_manifest_names_the_first_version_with_these_files(repository):
    rollback(repository, TEXT)
    put(repository, 5)
    assert rollback(repository, TEXT) == (6, 4)
    assert json.loads((repository / TEXT / "6" / "manifest.json").read_text())["rollback_of"] == 2


def test_to_a_version(repository):
    assert rollback(repository, TEXT, to=1) == (4, 1)
    assert current(repository) == 1
    assert rollback(repository, TEXT, to=3) == (5, 3), "also forward again"
    assert current(repository) == 3


@pytest.mark.parametrize("to", [3, 4, 0, -1, 99])
def test_to_what_is_no_older_version(repository, to):
    with pytest.raises(UserError, match=str(to)):
        rollback(repository, TEXT, to=to)
    assert current(repository) == 3


def test_to_what_is_current_under_another_number(repository):
    rollback(repository, TEXT)
    with pytest.raises(UserError, match="current already"):
        rollback(repository, TEXT, to=2)


def test_a_model_that_was_never_published(repository, tmp_path):
    for folder in (repository, tmp_path / "nowhere"):
        with pytest.raises(UserError, match="never published"):
            rollback(folder, "shapes")


@pytest.mark.parametrize("name", [ENGINE, "..", f"../model_repository/{TEXT}", ""])
def test_what_is_no_models_name(repository, name):
    with pytest.raises(UserError, match="no model's name"):
        rollback(repository, name)


@pytest.mark.parametrize("path", [f"{TEXT}/2/luxe.json", f"{ENGINE}/2/model.onnx", f"{TEXT}/2/manifest.json"])
@pytest.mark.parametrize("harm", ["changed", "missing"])
def test_a_spoilt_version_does_not_come_back(repository, path, harm):
    if harm == "changed":
        (repository / path).write_bytes(b"spoilt")
    else:
        (repository / path).unlink()
    with pytest.raises(UserError):
        rollback(repository, TEXT, to=2)
    assert current(repository) == 3 and not (repository / TEXT / "4").exists()


def test_a_missing_engine_does_not_come_back(repository):
    shutil.rmtree(repository / ENGINE / "2")
    with pytest.raises(UserError, match="missing"):
        rollback(repository, TEXT)


@pytest.mark.parametrize("name", ["luxe.json", "manifest.json"])
@pytest.mark.parametrize("to", [None, 2])
def test_a_spoilt_newest_version_is_what_it_is_for(repository, name, to):
    (repository / TEXT / "3" / name).write_bytes(b"spoilt")
    assert rollback(repository, TEXT, to=to) == (4, 2)


def test_a_manifest_that_nobody_writes_to_is_not_waited_for(repository, start_python):
    (repository / TEXT / "2" / "manifest.json").unlink()
    os.mkfifo(repository / TEXT / "2" / "manifest.json")
    program = (
        "import sys; from pathlib import Path; from luxe_export.publishing.rollback import rollback;"
        f"print(rollback(Path(sys.argv[1]), {TEXT!r}))"
    )
    out, err = start_python(program, repository).communicate(timeout=30)
    assert out == "(4, 1)\n", err


def test_labels_that_the_older_version_had_not(tmp_path):
    put(tmp_path, 1, labels=None)
    put(tmp_path, 2)
    rollback(tmp_path, TEXT)
    assert not (tmp_path / TEXT / "labels.txt").exists()
    assert verify(tmp_path).findings == []
    rollback(tmp_path, TEXT, to=2)
    assert (tmp_path / TEXT / "labels.txt").read_bytes() == b"red\n"
    assert verify(tmp_path).findings == []


def test_a_signed_version_is_signed_again(tmp_path):
    key = Ed25519PrivateKey.generate()
    put(tmp_path, 1, key=key)
    put(tmp_path, 2, key=key)
    with pytest.raises(UserError, match="--sign"):
        rollback(tmp_path, TEXT)
    assert rollback(tmp_path, TEXT, key=key) == (3, 1)
    assert verify(tmp_path, key=key.public_key()).findings == []


def forge(repository, version):
    """Change a file, and the manifest to fit."""
    folder = repository / TEXT / str(version)
    (folder / "luxe.json").write_bytes(b"forged")
    facts = {"sha256": hashlib.sha256(b"forged").hexdigest(), "size": 6}
    change_json(folder / "manifest.json", lambda m: m["files"][f"{TEXT}/{version}/luxe.json"].update(facts))


@pytest.mark.parametrize("how", ["kept", "other key", "no signature", "removed"])
@pytest.mark.parametrize("to", [None, 1])
def test_forged_files_are_not_signed(tmp_path, how, to):
    key = Ed25519PrivateKey.generate()
    for number in (1, 2):
        put(tmp_path, number, key=key)
    forge(tmp_path, 1)
    signature = tmp_path / TEXT / "1" / "manifest.json.sig"
    if how == "removed":
        signature.unlink()
    elif how == "no signature":
        signature.write_bytes(b"")
    elif how == "other key":
        signature.write_bytes(Ed25519PrivateKey.generate().sign((signature.parent / "manifest.json").read_bytes()))
    assert verify(tmp_path).findings == []
    words = "version 1 of colours is not signed, and version 2" if how == "removed" else "not its signature by this key"
    with pytest.raises(UserError, match=words):
        rollback(tmp_path, TEXT, to=to, key=key)
    assert current(tmp_path) == 2


def test_a_first_signature(repository):
    """Nothing was signed so far: whoever signs now vouches for the older files."""
    key = Ed25519PrivateKey.generate()
    assert rollback(repository, TEXT, key=key) == (4, 2)
    with pytest.raises(UserError, match="not signed"):
        rollback(repository, TEXT, key=key)


def test_after_a_prune(repository):
    rollback(repository, TEXT)
    prune(repository, TEXT, keep=2)
    put(repository, 5)
    assert rollback(repository, TEXT) == (6, 4)
    assert current(repository) == 2
    with pytest.raises(UserError, match="nothing to go back to"):
        rollback(repository, TEXT)
