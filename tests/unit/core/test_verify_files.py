"""Files and folders that are not as they were published: changed, missing, added, or of another kind."""

import os
import socket
from pathlib import Path

import pytest
from published import ENGINE, TEXT, lines

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
