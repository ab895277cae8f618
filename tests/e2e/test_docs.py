"""The Python in README.md and docs/ is run, word for word but for the server's address."""

import re
import subprocess
import sys

import pytest
from e2e_support import ROOT

ADDRESS = "127.0.0.1:8001"


def blocks(path):
    """Return ``(line number, code)`` of the Python blocks that use the client."""
    text = path.read_text(encoding="utf-8")
    found = re.finditer(r"(?ms)^```python\n(.*?)^```", text)
    return [(text[: m.start()].count("\n") + 1, m[1]) for m in found if "luxe_client" in m[1]]


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = {f"{path.relative_to(ROOT)}:{line}": code for path in PAGES for line, code in blocks(path)}


def test_the_readme_shows_the_client():
    assert [name for name in BLOCKS if name.startswith("README.md:")]


def test_blocks_are_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("text\n```python\nimport luxe_client\n```\n```python\nother\n```\n```\nluxe_client\n```\n")
    assert blocks(page) == [(2, "import luxe_client\n")]


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_runs(name, server, tmp_path):
    code = BLOCKS[name].replace(ADDRESS, server.address.grpc)
    if "luxe_client.testing" not in code:  # that has a server of its own
        assert server.address.grpc in code, f"the block names no address {ADDRESS}"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
