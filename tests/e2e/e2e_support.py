"""What the end-to-end tests share: the `luxe` command, servers of their own, and what these must not leave."""

import contextlib
import dataclasses
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
from checkout import ROOT

from luxe_client import Client, LuxeError
from luxe_serving.launcher.runtime import own_backends
from luxe_serving.launcher.server import free_address

LUXE = Path(sys.executable).parent / "luxe"
MODEL = "comment-intent"

_SERVED = """
import importlib.util

spec = importlib.util.spec_from_file_location("luxe_text_backend", {backend!r})
served = importlib.util.module_from_spec(spec)
spec.loader.exec_module(served)
"""

# Rich folds its tables at the width of the terminal, and a pipe has none.
_ENVIRONMENT = {**os.environ, "COLUMNS": "250", "NO_COLOR": "1"}


@dataclasses.dataclass(frozen=True)
class Done:
    """A command that has ended."""

    status: int
    out: str
    err: str


def luxe(*arguments, stdin=b"", timeout_s=120.0):
    """Run the `luxe` command to its end."""
    command = [str(LUXE), *map(str, arguments)]
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=timeout_s, env=_ENVIRONMENT, check=False)
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


def assert_refused(done, *words, status=2):
    """The command said no, in one line that holds ``words``, and printed nothing else."""
    assert done.status == status, done
    assert done.out == "", done
    assert len(done.err.splitlines()) == 1, done
    assert done.err.startswith("luxe: "), done
    for word in words:
        assert str(word) in done.err, done


def copy_project(target, *, source=ROOT):
    """Copy what a project consists of, the published models aside."""
    for folder in ("catalog", "data", "checkpoints"):
        shutil.copytree(source / folder, target / folder)
    (target / "benchmarks").mkdir()
    shutil.copy2(source / "benchmarks" / "locustfile.py", target / "benchmarks")


def copy_newest(source, target, model=MODEL):
    """Copy a model's newest version, text model and engine, as if nothing else had been published before."""
    versions = [p.parent for p in (source / model).glob("[0-9]*/manifest.json")]
    if not versions:
        return
    newest = max(versions, key=lambda p: int(p.name)).name
    for name in (model, f"{model}-engine"):
        shutil.copytree(source / name / newest, target / name / newest)
        for shared in (source / name).iterdir():
            if shared.is_file():
                shutil.copy2(shared, target / name)


def set_key(catalogue, key, value):
    """Change one key of a catalogue file."""
    text, count = re.subn(rf"(?m)^{key} = .*$", f"{key} = {value}", catalogue.read_text(encoding="utf-8"))
    assert count == 1, f"{key} is there {count} times"
    catalogue.write_text(text, encoding="utf-8")


def serve_with(repository, code, model=MODEL):
    """Have a model served by ``code`` of a test's own, in which ``served`` is the module that serves it otherwise."""
    (backend,) = (folder for folder in own_backends() if folder.name == "luxe_text")
    for version in (path.parent for path in repository.glob(f"{model}/[0-9]*/luxe.json")):
        (version / "model.py").write_text(_SERVED.format(backend=str(backend / "model.py")) + code, encoding="utf-8")
    for config in (repository / model).rglob("config.pbtxt"):
        given = config.read_text(encoding="utf-8")
        assert 'backend: "luxe_text"' in given
        config.write_text(given.replace('backend: "luxe_text"', 'backend: "python"'), encoding="utf-8")


def publish_again(repository, model=MODEL):
    """Publish a model's newest files as the next version, as an export would; returns its number."""
    newest = max(int(p.parent.name) for p in (repository / model).glob("[0-9]*/manifest.json"))
    for name in (f"{model}-engine", model):
        shutil.copytree(repository / name / str(newest), repository / name / str(newest + 1))
    path = repository / model / str(newest + 1) / "manifest.json"
    facts = json.loads(path.read_text(encoding="utf-8"))
    facts["version"] = newest + 1
    facts["files"] = {k.replace(f"/{newest}/", f"/{newest + 1}/"): v for k, v in facts["files"].items()}
    path.write_text(json.dumps(facts), encoding="utf-8")
    return newest + 1


def manifest(project, model=MODEL):
    """The manifest of a model's newest version."""
    found = (project.repository / model).glob("[0-9]*/manifest.json")
    return json.loads(max(found, key=lambda p: int(p.parent.name)).read_text(encoding="utf-8"))


def tree(folder):
    """Every path below a folder, files with their content: equal trees are equal byte for byte. Locks hold nothing."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
        if path.name != ".lock"
    }


def wait_until(condition, *, timeout_s, step_s=0.05):
    """Return whether a condition came true in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(step_s)
    return True


def running(processes):
    """Those of the processes that still run."""
    alive = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                alive.append(process)
    return alive


class Steady:
    """Calls a model again and again from a few threads; what comes of it is kept."""

    def __init__(self, address, text, *, callers=4, pause_s=0.02):
        self.answers, self.errors = [], []
        self._address, self._text, self._pause_s = address, text, pause_s
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(i,)) for i in range(callers)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _call(self, caller):
        number = 0
        with Client(self._address, timeout_s=30.0) as client:
            while not self._over.is_set():
                number += 1
                try:
                    # Another text each time, which no cache has an answer to.
                    answer = client.classify(MODEL, f"{self._text} {caller} {number}")
                    self.answers.append((time.monotonic(), answer))
                except LuxeError as error:
                    self.errors.append((time.monotonic(), error))
                time.sleep(self._pause_s)


class Serving:
    """`luxe serve` in a process of its own, with a temporary folder of its own, so that what it leaves is known."""

    def __init__(self, root, folder, *, address=None, arguments=(), temporary=None):
        self.address = address or free_address()
        folder.mkdir(parents=True, exist_ok=True)
        self.temporary = temporary or folder / "tmp"
        self.temporary.mkdir(exist_ok=True)
        self._out, self._err = folder / "out.txt", folder / "err.txt"
        ports = {name: getattr(self.address, f"{name}_port") for name in ("http", "grpc", "metrics")}
        command = [str(LUXE), "serve", *map(str, arguments), "--root", str(root)]
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [*command, *(f"--{name}-port={port}" for name, port in ports.items())],
                env={**_ENVIRONMENT, "TMPDIR": str(self.temporary)},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
        self._launcher = psutil.Process(self.process.pid)
        self._family = set()
        self._prefixes = set()

    @property
    def out(self):
        return self._out.read_text(encoding="utf-8")

    @property
    def err(self):
        return self._err.read_text(encoding="utf-8")

    @property
    def pid(self):
        return self.process.pid

    def family(self):
        """Every process that the launcher was ever seen to have below it."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self._family.update(self._launcher.children(recursive=True))
        self._prefixes.update(path.name for path in self.temporary.glob("luxe-serve-*"))
        return self._family

    def triton(self):
        """The process of tritonserver itself."""
        return next(p for p in running(self.family()) if p.name() == "tritonserver")

    def stub(self, entry):
        """A backend process of an entry of the repository."""
        return next(p for p in self.triton().children() if f"/{entry}/" in " ".join(p.cmdline()))

    def segments(self):
        """Its segments of shared memory."""
        return [path for prefix in self._prefixes for path in Path("/dev/shm").glob(f"{prefix}*")]

    def until_ready(self, *, timeout_s=60.0):
        """Wait for the addresses, which are printed when every model has answered."""

        def ready_or_ended():
            self.family()
            return "metrics" in self.out or self.process.poll() is not None

        assert wait_until(ready_or_ended, timeout_s=timeout_s), self.err
        assert self.process.poll() is None, self.err
        assert len(self.family()) >= 3, "tritonserver and a stub a model"
        assert self.segments(), "else their absence at the end would show nothing"
        return self

    def end(self, *, timeout_s):
        """Wait for the launcher's end; watch what it starts meanwhile. Returns its exit status."""

        def ended():
            self.family()
            return self.process.poll() is not None

        assert wait_until(ended, timeout_s=timeout_s, step_s=0.02), f"still there after {timeout_s} s: {self.err}"
        return self.process.returncode

    def signal(self, number):
        self.family()
        self.process.send_signal(number)

    def left(self):
        """What it left behind; empty when it ended as it should."""
        found = [f"process {p.pid} {p.name()}" for p in running(self._family)]
        found += [f"segment {path}" for path in self.segments()]
        found += [f"folder {path}" for path in self.temporary.glob("luxe-serve-*")]
        for name in ("http_port", "grpc_port", "metrics_port"):
            with socket.socket() as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if listener.connect_ex((self.address.host, getattr(self.address, name))) == 0:
                    found.append(f"{name} answers")
        return found

    def kill(self):
        """End everything that is still there, by process id."""
        self.family()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for process in running(self._family):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        psutil.wait_procs(self._family, timeout=10)
        for segment in self.segments():
            segment.unlink(missing_ok=True)
