import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from luxe_serving.launcher import scratch
from luxe_serving.launcher.scratch import Scratch, sweep


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """A /tmp and a /dev/shm of its own."""
    (tmp_path / "tmp").mkdir()
    (tmp_path / "shm").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(scratch, "_SHARED_MEMORY", tmp_path / "shm")
    return tmp_path


def segment(folders, made):
    path = folders / "shm" / f"{made.shm_prefix}0123"
    path.write_bytes(b"x")
    return path


def test_it_goes_with_its_segments_and_no_other(folders):
    made, other = Scratch(), Scratch()
    mine, theirs = segment(folders, made), segment(folders, other)
    made.remove()
    assert not made.folder.exists()
    assert not mine.exists()
    assert other.folder.exists()
    assert theirs.exists()
    other.remove()


def test_what_is_in_use_is_not_swept(folders):
    made = Scratch()
    path = segment(folders, made)
    assert sweep() == []
    assert made.folder.exists()
    assert path.exists()
    made.remove()


def test_a_process_that_inherited_it_keeps_it_after_the_launcher(folders):
    made = Scratch()
    path = segment(folders, made)
    server = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(made.lock,))
    made.release()
    assert sweep() == []
    server.communicate(b"\n")
    assert sweep() == [made.folder.name]
    assert not made.folder.exists()
    assert not path.exists()


def test_the_owner_is_written_down():
    made = Scratch()
    assert (made.folder / ".owner").read_text() == f"{os.getpid()}\n"
    made.remove()


def test_what_is_not_ours_stays(folders):
    without = folders / "tmp" / "luxe-serve-old"
    without.mkdir()
    elsewhere = folders / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / ".owner").write_text("1\n")
    link = Path(folders / "tmp" / "luxe-serve-link")
    link.symlink_to(elsewhere)
    (folders / "tmp" / "luxe-serve-file").write_text("")
    assert sweep() == []
    assert (elsewhere / ".owner").exists()
    assert without.exists()
    assert link.is_symlink()
