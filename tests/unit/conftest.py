import subprocess
import sys
from pathlib import Path

import pytest

# pytest's importlib mode keeps test folders off the path; what these tests share is no test itself.
sys.path.append(str(Path(__file__).parent))

from checkout import ROOT

from luxe import catalog
from luxe.project import Project


@pytest.fixture(scope="session")
def shipped():
    """The project as it ships."""
    return Project.open(ROOT)


@pytest.fixture(scope="session")
def entry(shipped):
    """A catalogue entry, whose values nobody may repeat in a test."""
    return catalog.load(shipped, "comment-intent")


@pytest.fixture
def start_python():
    """Start Python programs in processes of their own; none outlives its test."""
    processes = []

    def start(program, *arguments, options=("-W", "error")):
        command = [sys.executable, *options, "-c", program, *map(str, arguments)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()
