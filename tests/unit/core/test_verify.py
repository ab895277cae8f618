"""What is verified, all of a repository or a part of it; and that it changes nothing."""

import pytest
from published import ENGINE, ONNX, TEXT, lines, put

from luxe import access
from luxe.errors import UserError
from luxe.verify import LOADED, Finding, verify
from luxe_export.publishing.publish import Parts, publish


def test_what_was_published_is_intact(repository):
    report = verify(repository)
    assert report.findings == []
    assert [(v.model, v.version, v.files, v.signed, v.rollback_of) for v in report.versions] == [
        (TEXT, number, 6, False, None) for number in (1, 2, 3)
    ]
    assert all(v.size == len(ONNX) + 13 + 11 + 4 + 2 + 2 for v in report.versions)


def test_an_empty_repository_is_intact(tmp_path):
    assert verify(tmp_path).findings == []


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
