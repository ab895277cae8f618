import pytest
from catalogue import ENTRY, write
from published import put

from luxe.project import Project


@pytest.fixture
def project(tmp_path):
    (tmp_path / "catalog").mkdir()
    write(tmp_path, ENTRY)
    return Project.open(tmp_path)


@pytest.fixture
def repository(tmp_path):
    """Three versions of one model."""
    for number in (1, 2, 3):
        put(tmp_path / "model_repository", precision=f"int{number}")
    return tmp_path / "model_repository"
