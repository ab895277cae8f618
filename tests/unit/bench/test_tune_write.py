"""The winner comes into the catalogue as a whole, or the file stays as it was."""

import pytest

from luxe import catalog
from luxe.errors import UserError
from luxe.project import Project
from luxe_bench.tune import write

FILE = """\
description = "x"  # a model
task = "text-classification"
labels = ["red", "green"]
max_length = 32

[slo]
requests_per_s = 1
p50_ms = 1
p95_ms = 1
p99_ms = 1
max_error_share = 0.0

[serving]
engine_instances = 1
max_micro_batch = 8
"""
CHANGES = {"engine_instances": None, "max_micro_batch": 16, "max_queue_delay_us": 1000}


@pytest.fixture
def project(tmp_path):
    (tmp_path / "catalog").mkdir()
    (tmp_path / "catalog" / "m.toml").write_text(FILE, encoding="utf-8")
    return Project.open(tmp_path)


def names(project):
    return sorted(path.name for path in project.catalog.iterdir())


def test_the_winner_is_written(project):
    path = project.catalog / "m.toml"
    path.chmod(0o640)
    before, entry = write.read(project, "m")
    write.write(project, entry, before, CHANGES)
    serving = catalog.load(project, "m").serving
    assert (serving.engine_instances, serving.max_micro_batch, serving.max_queue_delay_us) == (None, 16, 1000)
    assert path.read_text(encoding="utf-8").startswith('description = "x"  # a model\n')
    assert path.stat().st_mode & 0o777 == 0o640
    assert names(project) == ["m.toml"]


def test_a_link_stays_a_link(project, tmp_path):
    path = project.catalog / "m.toml"
    path.rename(tmp_path / "elsewhere.toml")
    path.symlink_to(tmp_path / "elsewhere.toml")
    before, entry = write.read(project, "m")
    write.write(project, entry, before, CHANGES)
    assert path.is_symlink() and catalog.load(project, "m").serving.max_micro_batch == 16


@pytest.mark.parametrize("gone", [False, True])
def test_a_file_that_was_changed_meanwhile_is_not_touched(project, gone):
    before, entry = write.read(project, "m")
    path = project.catalog / "m.toml"
    if gone:
        path.unlink()
    else:
        path.write_text(FILE + "# mine\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"^(catalog/m\.toml was changed meanwhile|cannot write catalog/m\.toml)"):
        write.write(project, entry, before, CHANGES)
    assert names(project) == ([] if gone else ["m.toml"])
    assert gone or path.read_text(encoding="utf-8") == FILE + "# mine\n"


@pytest.mark.parametrize("changes", [{"max_micro_batch": 33}, {"max_micro_batch": 0}])
def test_what_the_catalogue_refuses_is_not_written(project, changes):
    before, entry = write.read(project, "m")
    with pytest.raises(UserError, match=r"catalog/m\.toml: .*max_micro_batch"):
        write.write(project, entry, before, changes)
    assert (project.catalog / "m.toml").read_bytes() == before and names(project) == ["m.toml"]


def test_an_edit_that_says_something_else_is_not_written(project, monkeypatch):
    before, entry = write.read(project, "m")
    monkeypatch.setattr(write, "edit", lambda text, changes: text.replace("p50_ms = 1", "p50_ms = 2"))
    with pytest.raises(UserError, match="cannot be edited as it is: write no engine_instances, max_micro_batch = 16, "):
        write.write(project, entry, before, CHANGES)
    assert (project.catalog / "m.toml").read_bytes() == before


def test_a_write_that_fails_leaves_the_file(project, monkeypatch):
    before, entry = write.read(project, "m")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write.os, "fsync", full)
    with pytest.raises(UserError, match=r"cannot write catalog/m\.toml: No space left on device; it is as it was"):
        write.write(project, entry, before, CHANGES)
    assert (project.catalog / "m.toml").read_bytes() == before and names(project) == ["m.toml"]


def test_a_model_that_is_not_there(project):
    with pytest.raises(UserError, match="unknown model 'n': the catalogue has m"):
        write.read(project, "n")
    with pytest.raises(UserError, match="unknown model"):
        write.read(project, "../m")
