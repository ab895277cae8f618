"""The code in README.md and docs/ is run, page by page, word for word but for addresses, as a reader would run it."""

import contextlib
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from e2e_support import ROOT

SERVER = "127.0.0.1:8001"
OTHERS = ("8080", "8443", "8444")
"""Ports that the pages' own programs listen on."""


def blocks(path):
    """Return ``(line number, language, code)`` of the blocks that are run."""
    text = path.read_text(encoding="utf-8")
    found = re.finditer(r"(?ms)^```(python|sh)\n(.*?)^```", text)
    return [(text[: m.start()].count("\n") + 1, m[1], m[2]) for m in found]


PAGES = {
    str(path.relative_to(ROOT)): blocks(path)
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if blocks(path)
}


def script(page, folder):
    """Return a page as one program of the shell; each block says on standard error that it begins."""
    lines = ["set -euo pipefail"]
    for line, language, code in page:
        lines.append(f"echo 'line {line}' >&2")
        if language == "python":
            program = folder / f"line-{line}.py"
            program.write_text(code, encoding="utf-8")
            # What a program of Python says there is a warning.
            code = f"python -W error {shlex.quote(str(program))} 2>> python.err"
        lines.append(code)
    return "\n".join(lines)


def test_pages_are_found():
    assert "README.md" in PAGES
    assert {f"docs/client/{path.name}" for path in (ROOT / "docs" / "client").glob("*.md")} <= set(PAGES)


def test_blocks_are_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("text\n```python\nimport this\n```\n```sh\ntrue\n```\n```\nluxe_client\n```\n")
    assert blocks(page) == [(2, "python", "import this\n"), (5, "sh", "true\n")]


@pytest.mark.parametrize("code", ["raise SystemExit(3)", "import warnings; warnings.warn('old')"])
def test_a_block_that_fails_is_found(tmp_path, code):
    done = run([(7, "python", code), (9, "sh", "echo never")], tmp_path)
    assert done.returncode != 0
    assert done.stdout == "" and done.stderr.splitlines()[-1] == "line 7"


@pytest.mark.parametrize("name", PAGES)
def test_a_page_runs(name, server, tmp_path):
    ports = {SERVER: server.address.grpc} | {f"127.0.0.1:{port}": f"127.0.0.1:{free()}" for port in OTHERS}
    ports |= {f"--port {port}": f"--port {ports[f'127.0.0.1:{port}'].rpartition(':')[2]}" for port in OTHERS}
    page = []
    for line, language, code in PAGES[name]:
        if language == "python" and "luxe_client.testing" not in code:  # that has a server of its own
            assert any(address in code for address in ports), f"line {line} names no address that is replaced"
        for given, own in ports.items():
            code = code.replace(given, own)
        page.append((line, language, code))
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    done = run(page, tmp_path)
    assert done.returncode == 0, done.stderr + warnings(tmp_path)
    assert warnings(tmp_path) == ""


def run(page, folder):
    """Run a page in a folder; nothing of it outlives that."""
    out, err = folder / "page.out", folder / "page.err"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(
            ["bash", "-c", script(page, folder)],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            cwd=folder,
            # gRPC tells of failed handshakes, which docs/client/tls.md shows, on standard error too.
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "GRPC_VERBOSITY": "NONE"},
            start_new_session=True,
        )
        try:
            status = process.wait(timeout=120)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return subprocess.CompletedProcess(process.args, status, out.read_text(), err.read_text())


def warnings(folder):
    """What the Python blocks said on standard error."""
    return (folder / "python.err").read_text() if (folder / "python.err").exists() else ""


def free():
    """Return a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
