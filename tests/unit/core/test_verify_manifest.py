"""Manifests that cannot be read, do not fit or lead elsewhere; and a model that a manifest vouches for in vain."""

import pytest
from json_files import change_json
from published import ENGINE, ONNX, TEXT, lines, put


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
    change_json(repository / TEXT / "3" / "manifest.json", change)
    assert [line for line in lines(repository) if line.startswith(f"{TEXT}/3/manifest.json: ")]


@pytest.mark.parametrize("path", PATHS)
def test_a_path_that_leads_elsewhere(repository, path):
    facts = {"sha256": "0" * 64, "size": 0}
    change_json(repository / TEXT / "3" / "manifest.json", lambda m: m["files"].update({path: facts}))
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
