import sys
from pathlib import Path

import psutil
import pytest

# pytest's importlib mode keeps test folders off the path; the support module is a helper, not a test.
sys.path.append(str(Path(__file__).parent))

import conformance_fleet
import e2e_support as support

from luxe import catalog
from luxe.project import Project
from luxe_client import Client
from luxe_serving.launcher.server import free_address, running
from luxe_training.data import load

_HERE = Path(__file__).parent
_EXPORT_S = 540.0


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    """A project with the shipped model really exported. What the checkout has published already is taken along."""
    root = tmp_path_factory.mktemp("project")
    support.copy_project(root)
    support.copy_newest(support.ROOT / "model_repository", root / "model_repository")
    done = support.luxe("export", support.MODEL, "--root", root, timeout_s=_EXPORT_S)
    assert done.status == 0, done.err
    return Project.open(root)


@pytest.fixture(scope="session")
def entry(project):
    """The shipped model's catalogue entry, whose values nobody may repeat in a test."""
    return catalog.load(project, support.MODEL)


@pytest.fixture(scope="session")
def texts(project, entry):
    """The texts of the shipped model's test set, of all lengths."""
    return list(load(project.data(entry.name), "test", entry.labels).texts)


@pytest.fixture(scope="session")
def fleet(tmp_path_factory):
    """A project with small models of every architecture and task, all candidates kept."""
    return conformance_fleet.make(tmp_path_factory.mktemp("fleet"))


@pytest.fixture(scope="session")
def server(project):
    """A server for all tests that do it no harm."""
    with running(project.repository, free_address(), project.runs / "triton.log") as server:
        family = psutil.Process(server.pid).children(recursive=True)
        yield server
        assert psutil.pid_exists(server.pid), "a test ended the server"
        assert len(support.running(family)) == len(family), "a test ended a backend process"


@pytest.fixture
def client(server):
    with Client(server.address.grpc, timeout_s=30.0) as client:
        yield client


@pytest.fixture
def copy(project, tmp_path):
    """A copy of the project that a test may change, published models included."""
    support.copy_project(tmp_path / "copy", source=project.root)
    support.copy_newest(project.repository, tmp_path / "copy" / "model_repository")
    return Project.open(tmp_path / "copy")


@pytest.fixture
def serve(tmp_path):
    """Start `luxe serve` on a project's root; nothing of it outlives the test."""
    started = []

    def start(root, **options):
        started.append(support.Serving(root, tmp_path / f"serve-{len(started)}", **options))
        return started[-1]

    yield start
    for serving in started:
        serving.kill()
