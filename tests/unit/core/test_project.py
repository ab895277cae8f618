import pytest

from luxe.errors import CommandError, Rejected, UserError
from luxe.project import Project


def test_everything_lies_below_the_root(tmp_path):
    (tmp_path / "catalog").mkdir()
    project = Project.open(tmp_path)
    folders = [project.catalog, project.repository, project.runs, project.data("m"), project.checkpoint("m")]
    assert all(folder.is_relative_to(project.root) for folder in folders)
    assert len(set(folders)) == len(folders)


def test_the_root_is_absolute(tmp_path, monkeypatch):
    (tmp_path / "catalog").mkdir()
    monkeypatch.chdir(tmp_path)
    assert Project.open(type(tmp_path)(".")).root == tmp_path.resolve()


def test_a_folder_without_a_catalogue(tmp_path):
    with pytest.raises(UserError, match=f"no catalogue in {tmp_path}.*--root"):
        Project.open(tmp_path)


def test_a_catalogue_that_is_a_file(tmp_path):
    (tmp_path / "catalog").write_text("")
    with pytest.raises(UserError, match="no catalogue"):
        Project.open(tmp_path)


def test_exit_statuses():
    assert (UserError.exit_status, Rejected.exit_status) == (2, 1)
    assert issubclass(UserError, CommandError)
    assert issubclass(Rejected, CommandError)
