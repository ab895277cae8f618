import json
import os
import socket
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from luxe import access
from luxe.errors import UserError
from luxe.verify import LOADED, Finding, verify
from luxe_export.publishing.publish import Parts, publish

# A model with nothing in it: IR version 8, an empty graph, opset 18.
ONNX = b"\x08\x08\x3a\x00\x42\x02\x10\x12"
TEXT, ENGINE = "colours", "colours-engine"


def put(repository, model=TEXT, onnx=ONNX, key=None, **manifest):
    engine = Parts(f"{model}-engine", {"config.pbtxt": b"engine config"}, {"model.onnx": onnx})
    shared = {"config.pbtxt": b"text config", "labels.txt": b"red\n"}
    text = Parts(model, shared, {"luxe.json": b"{}", "tokenizer.json": b"{}"})
    return publish(repository, engine, text, manifest, key=key)


def lines(repository, **options):
    return [finding.line for finding in verify(repository, **options).findings]


@pytest.fixture
def repository(tmp_path):
    """Three versions of one model."""
    for number in (1, 2, 3):
        put(tmp_path / "model_repository", precision=f"int{number}")
    return tmp_path / "model_repository"


def rewrite(path, change):
    """Change a manifest as somebody who knows its format would."""
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def test_what_was_published_is_intact(repository):
    report = verify(repository)
    assert report.findings == []
    assert [(v.model, v.version, v.files, v.signed, v.rollback_of) for v in report.versions] == [
        (TEXT, number, 6, False, None) for number in (1, 2, 3)
    ]
    assert all(v.size == len(ONNX) + 13 + 11 + 4 + 2 + 2 for v in report.versions)


def test_an_empty_repository_is_intact(tmp_path):
    assert verify(tmp_path).findings == []


EVERY_FILE = [
    *(f"{TEXT}/3/{name}" for name in ("config.pbtxt", "labels.txt", "luxe.json", "tokenizer.json", "manifest.json")),
    *(f"{ENGINE}/3/{name}" for name in ("config.pbtxt", "model.onnx")),
    *(f"{TEXT}/{name}" for name in ("config.pbtxt", "labels.txt")),
    f"{ENGINE}/config.pbtxt",
    f"{ENGINE}/1/model.onnx",
    f"{TEXT}/1/luxe.json",
]


@pytest.mark.parametrize("path", [p for p in EVERY_FILE if not p.endswith("manifest.json")])
def test_one_flipped_bit_anywhere(repository, path):
    content = bytearray((repository / path).read_bytes())
    for at in range(len(content)):
        content[at] ^= 1
        (repository / path).write_bytes(content)
        found = lines(repository)
        assert len(found) == 1 and found[0].startswith(f"{path}: "), (at, found)
        content[at] ^= 1
    (repository / path).write_bytes(content)
    assert lines(repository) == []


@pytest.mark.parametrize("path", EVERY_FILE)
def test_a_missing_file(repository, path):
    (repository / path).unlink()
    assert f"{path}: missing" in lines(repository)


@pytest.mark.parametrize("path", EVERY_FILE)
@pytest.mark.parametrize("change", [lambda c: c + b"\n", lambda c: c[:-1], lambda c: b""])
def test_a_file_that_grew_or_shrank(repository, path, change):
    before = (repository / path).read_bytes()
    (repository / path).write_bytes(change(before))
    found = lines(repository)
    # A manifest with one more empty line says the same: it is for the signature to tell.
    if not path.endswith("manifest.json") or change(before)[:-1] == b"":
        assert [line for line in found if line.startswith(f"{path}: ")], found


@pytest.mark.parametrize("folder", [TEXT, ENGINE, f"{TEXT}/3", f"{ENGINE}/3", f"{TEXT}/1", "."])
@pytest.mark.parametrize("name", ["weights.bin", ".hidden", "model.py", "[red]", "new\nline"])
def test_an_added_file(repository, folder, name):
    (repository / folder / name).write_bytes(b"x")
    found = lines(repository)
    assert len(found) == 1, found
    assert name.replace("\n", "?") in found[0] and "\n" not in found[0]
    assert "not in the manifest" in found[0] or "not a part of" in found[0]


@pytest.mark.parametrize("folder", [TEXT, ENGINE, f"{TEXT}/3", f"{ENGINE}/3"])
@pytest.mark.parametrize("name", ["extra", ".cache", "007", "-1", "3x"])
def test_an_added_folder(repository, folder, name):
    (repository / folder / name).mkdir()
    assert lines(repository) == [f"{folder}/{name}: a folder where none belongs"]


@pytest.mark.parametrize("path", [p for p in EVERY_FILE if "labels" not in p])
def test_a_link_in_place_of_a_file(repository, tmp_path, path):
    """Also to the very same content."""
    (repository / path).rename(tmp_path / "elsewhere")
    (repository / path).symlink_to(tmp_path / "elsewhere")
    assert f"{path}: a symbolic link" in lines(repository)


@pytest.mark.parametrize("path", [f"{TEXT}/3", f"{ENGINE}/3", TEXT, ENGINE])
def test_a_link_in_place_of_a_folder(repository, tmp_path, path):
    (repository / path).rename(tmp_path / "elsewhere")
    (repository / path).symlink_to(tmp_path / "elsewhere")
    assert f"{path}: a symbolic link" in lines(repository)


@pytest.mark.parametrize("name", ["colours/4", "stripes", "colours/x", "colours/3/x"])
def test_an_added_link(repository, name):
    (repository / name).symlink_to("/etc")
    assert f"{name}: a symbolic link" in lines(repository)


@pytest.mark.parametrize("path", EVERY_FILE)
def test_a_file_with_a_second_name(repository, tmp_path, path):
    os.link(repository / path, tmp_path / "elsewhere")
    assert f"{path}: has a second name (hard link)" in lines(repository)


@pytest.mark.parametrize("path", [*EVERY_FILE, f"{TEXT}/new", f"{TEXT}/3/new", "new", ".lock", ".colours.json"])
@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_a_special_file(repository, path, kind, monkeypatch):
    (repository / path).unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(repository / path)
    else:
        monkeypatch.chdir((repository / path).parent)  # a socket's path is short
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(Path(path).name)
    assert f"{path}: a special file" in lines(repository)


@pytest.mark.parametrize(("gone", "named"), [(TEXT, ENGINE), (ENGINE, TEXT)])
def test_a_missing_half(repository, gone, named, tmp_path):
    (repository / gone).rename(tmp_path / "gone")
    assert f"{named}: its other half, the entry {gone}, is missing" in lines(repository)


@pytest.mark.parametrize(("gone", "named"), [(TEXT, ENGINE), (ENGINE, TEXT)])
@pytest.mark.parametrize("version", [1, 3])
def test_a_missing_half_of_a_version(repository, gone, named, version, tmp_path):
    (repository / gone / str(version)).rename(tmp_path / "gone")
    assert f"{named}/{version}: its other half, {gone}/{version}, is missing" in lines(repository)


def test_an_entry_without_versions(repository, tmp_path):
    for version in (1, 2, 3):
        (repository / ENGINE / str(version)).rename(tmp_path / f"gone-{version}")
    assert f"{ENGINE}: has no version" in lines(repository)


@pytest.mark.parametrize("entries", [(TEXT,), (ENGINE,), (TEXT, ENGINE)])
def test_a_version_under_another_number(repository, entries):
    for entry in entries:
        (repository / entry / "3").rename(repository / entry / "7")
    found = lines(repository)
    where = f"{TEXT}/7/manifest.json: it is of version 3" if TEXT in entries else f"{ENGINE}/7: its other half"
    assert [line for line in found if line.startswith(where)], found


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff", b"[" * 100_000, b"null"])
def test_a_manifest_that_cannot_be_read(repository, content):
    (repository / TEXT / "3" / "manifest.json").write_bytes(content)
    found = lines(repository)
    assert len(found) == 1 and found[0].startswith(f"{TEXT}/3/manifest.json: "), found


def test_a_huge_manifest_is_not_read(repository):
    with (repository / TEXT / "3" / "manifest.json").open("ab") as file:
        file.truncate(2**40)
    assert "bytes" in lines(repository)[0]


def test_a_huge_file_is_not_hashed(repository):
    with (repository / ENGINE / "3" / "model.onnx").open("ab") as file:
        file.truncate(2**40)
    assert lines(repository) == [f"{ENGINE}/3/model.onnx: {2**40} bytes; the manifest says {len(ONNX)}"]


SPOILT = {
    "no files": lambda m: m.pop("files"),
    "no version": lambda m: m.pop("version"),
    "version as text": lambda m: m.update(version="3"),
    "version as truth": lambda m: m.update(version=True),
    "a newer version": lambda m: m.update(version=4),
    "another model": lambda m: m.update(model="shapes"),
    "rollback of itself": lambda m: m.update(rollback_of=3),
    "no config": lambda m: m["files"].pop(f"{TEXT}/3/config.pbtxt"),
    "config not shared": lambda m: m["files"][f"{ENGINE}/3/config.pbtxt"].update(shared=False),
    "a short hash": lambda m: m["files"][f"{TEXT}/3/luxe.json"].update(sha256="00"),
    "a negative size": lambda m: m["files"][f"{TEXT}/3/luxe.json"].update(size=-1),
    "an unknown key": lambda m: m["files"][f"{TEXT}/3/luxe.json"].update(target="/etc/passwd"),
}
PATHS = [
    "/etc/passwd",
    "../secret",
    f"{TEXT}/3/../2/luxe.json",
    f"{TEXT}/../../secret",
    f"{TEXT}/3/..",
    f"{TEXT}/3/.",
    f"{TEXT}/3/",
    f"{TEXT}//luxe.json",
    f"{TEXT}/3/a/b",
    f"{TEXT}/2/luxe.json",
    f"{TEXT}/3",
    "shapes/3/luxe.json",
    f"{TEXT}/3/a\0b",
    f"./{TEXT}/3/luxe.json",
    "",
]


@pytest.mark.parametrize("change", SPOILT.values(), ids=SPOILT.keys())
def test_a_manifest_that_does_not_fit(repository, change):
    rewrite(repository / TEXT / "3" / "manifest.json", change)
    assert [line for line in lines(repository) if line.startswith(f"{TEXT}/3/manifest.json: ")]


@pytest.mark.parametrize("path", PATHS)
def test_a_path_that_leads_elsewhere(repository, path):
    facts = {"sha256": "0" * 64, "size": 0}
    rewrite(repository / TEXT / "3" / "manifest.json", lambda m: m["files"].update({path: facts}))
    found = lines(repository)
    assert len(found) == 1 and "is not a file of version 3 of colours" in found[0], found


# External data, IR 11, opset 22; each otherwise a whole model.
TENSOR_ELSEWHERE = b"\x70\x01"
REFUSED_ONNX = {
    "external data": b"\x08\x08\x3a\x04\x2a\x02" + TENSOR_ELSEWHERE + b"\x42\x02\x10\x12",
    "IR 11": b"\x08\x0b\x3a\x00\x42\x02\x10\x12",
    "opset 22": b"\x08\x08\x3a\x00\x42\x02\x10\x16",
    "not an ONNX model": b"no model",
}


@pytest.mark.parametrize("reason", REFUSED_ONNX)
def test_a_model_that_the_manifest_vouches_for_is_still_looked_at(repository, reason):
    put(repository, onnx=REFUSED_ONNX[reason])
    found = lines(repository)
    assert len(found) == 1 and found[0].startswith(f"{ENGINE}/4/model.onnx: ") and reason in found[0], found


def test_shared_files_are_those_of_the_newest_version(repository):
    old = (repository / TEXT / "config.pbtxt").read_bytes()
    engine = Parts(ENGINE, {"config.pbtxt": b"new"}, {"model.onnx": ONNX})
    publish(repository, engine, Parts(TEXT, {"config.pbtxt": b"a new text config"}, {"luxe.json": b"{}"}), {})
    assert lines(repository) == []
    assert not (repository / TEXT / "labels.txt").exists()
    (repository / TEXT / "config.pbtxt").write_bytes(old)
    assert lines(repository)[0].startswith(f"{TEXT}/config.pbtxt: ")
    (repository / TEXT / "config.pbtxt").write_bytes(b"a new text confiG")
    assert lines(repository) == [f"{TEXT}/config.pbtxt: not the one of version 4"]


def test_only_what_a_server_loads(repository):
    put(repository)
    (repository / ENGINE / "2" / "model.onnx").write_bytes(b"spoilt")
    assert verify(repository, newest=LOADED).findings == []
    assert len(verify(repository, newest=LOADED).versions) == 2
    (repository / ENGINE / "3" / "model.onnx").write_bytes(b"spoilt")
    assert len(verify(repository, newest=LOADED).findings) == 1
    assert len(verify(repository).findings) == 2


def test_one_model_of_two(repository):
    put(repository, "shapes")
    (repository / TEXT / "2" / "luxe.json").unlink()
    assert lines(repository, model="shapes") == []
    assert lines(repository, model=TEXT) == lines(repository) == [f"{TEXT}/2/luxe.json: missing"]
    with pytest.raises(UserError, match="stripes"):
        verify(repository, model="stripes")


def test_a_repository_behind_a_link_is_one(repository, tmp_path):
    (tmp_path / "link").symlink_to(repository)
    assert lines(tmp_path / "link") == []


def test_a_spoilt_note(repository):
    (repository / ".colours.json").write_text("{")
    assert [line.partition(":")[0] for line in lines(repository)] == [".colours.json"]


def test_a_missing_note_is_no_harm(repository):
    (repository / ".colours.json").unlink()
    assert lines(repository) == []
    assert put(repository) == 4


def test_it_changes_nothing(repository):
    (repository / TEXT / "config.pbtxt").write_bytes(b"changed")
    before = {p: p.stat() for p in repository.rglob("*")}
    with access.reading(repository):
        assert verify(repository).findings == [Finding(f"{TEXT}/config.pbtxt", "7 bytes; the manifest says 11")]
    after = {p: p.stat() for p in repository.rglob("*")}
    assert {p: (s.st_mtime_ns, s.st_ino) for p, s in before.items()} == {
        p: (s.st_mtime_ns, s.st_ino) for p, s in after.items()
    }


def test_signatures(repository):
    key, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    put(repository, key=key)
    unsigned = [f"{TEXT}/{number}/manifest.json.sig: not signed" for number in (1, 2, 3)]
    assert lines(repository, key=key.public_key()) == unsigned
    assert lines(repository) == []
    wrong = f"{TEXT}/4/manifest.json.sig: not the signature of this manifest by this key"
    assert lines(repository, key=other.public_key()) == [*unsigned, wrong]
    assert [v.signed for v in verify(repository).versions] == [False, False, False, True]


@pytest.mark.parametrize("signature", [b"", b"x", bytes(64), bytes(65)])
def test_a_signature_that_is_none(tmp_path, signature):
    key = Ed25519PrivateKey.generate()
    put(tmp_path, key=key)
    (tmp_path / TEXT / "1" / "manifest.json.sig").write_bytes(signature)
    assert "not the signature" in lines(tmp_path, key=key.public_key())[0]


def test_a_signature_covers_the_whole_manifest(tmp_path):
    key = Ed25519PrivateKey.generate()
    put(tmp_path, key=key, precision="int8")
    path = tmp_path / TEXT / "1" / "manifest.json"
    content = bytearray(path.read_bytes())
    for at in range(0, len(content), 7):
        content[at] ^= 1
        path.write_bytes(content)
        assert [line for line in lines(tmp_path, key=key.public_key()) if "manifest" in line], at
        content[at] ^= 1
    path.write_bytes(content)
    assert lines(tmp_path, key=key.public_key()) == []
    path.write_bytes(content + b"\n")
    assert len(lines(tmp_path, key=key.public_key())) == 1


def test_a_signature_of_another_version_is_none(tmp_path):
    key = Ed25519PrivateKey.generate()
    for _ in range(2):
        put(tmp_path, key=key)
    old = tmp_path / TEXT / "1" / "manifest.json.sig"
    (tmp_path / TEXT / "2" / "manifest.json.sig").write_bytes(old.read_bytes())
    assert "not the signature" in lines(tmp_path, key=key.public_key())[0]
