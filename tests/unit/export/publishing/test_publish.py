"""What a new version is: its files, those of the versions before it, and its manifest."""

import hashlib
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from published import ENGINE, TEXT
from servable import WAIT_S, assert_servable, engine_parts, files, put, text_parts

from luxe.errors import UserError
from luxe_export.publishing import publish
from luxe_export.publishing.publish import Parts

NOTES = {".lock", ".colours.json"}


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
