"""The examples of docs/ against a real server, as their users start them."""

import csv
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from e2e_support import MODEL, ROOT, wait_until

from luxe_client import Client
from luxe_serving.launcher.server import free_address

EXAMPLES = ROOT / "docs" / "examples"


class Service:
    """The FastAPI service under uvicorn."""

    def __init__(self, targets, folder):
        self.url = f"http://{free_address().http}"
        self._log = folder / "uvicorn.txt"
        command = [sys.executable, "-W", "error", "-m", "uvicorn", "--app-dir", str(EXAMPLES)]
        command += ["--factory", "fastapi_service.app:from_environment", "--port", self.url.rpartition(":")[2]]
        with self._log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                env={**os.environ, "LUXE_TARGETS": targets},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        assert wait_until(lambda: self.ask("/live")[0] == 200, timeout_s=30.0), self.log

    @property
    def log(self):
        return self._log.read_text(encoding="utf-8")

    def ask(self, path, body=None, headers=()):
        """Return status, content and headers; 0 where nobody answers."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"content-type": "application/json", **dict(headers)})
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, json.loads(answer.read() or "null"), dict(answer.headers)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read() or "null"), dict(error.headers)
        except urllib.error.URLError:
            return 0, None, {}


@pytest.fixture
def start(tmp_path):
    """Start the service; nothing of it outlives the test."""
    started = []

    def start(targets):
        started.append(Service(targets, tmp_path))
        return started[-1]

    yield start
    for service in started:
        service.process.kill()
        service.process.wait()


def test_the_service_answers_as_the_model_does(server, client, texts, start):
    service = start(server.address.grpc)
    assert service.ask("/ready")[0] == 200
    some = texts[:60]
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda text: service.ask("/classify", {"text": text}), some))
    assert {status for status, _, _ in got} == {200}
    for (_, said, _), wanted in zip(got, client.classify(MODEL, some), strict=True):
        assert said["score"] == pytest.approx(wanted.score, abs=1e-6)
        del said["score"]
        assert said == {"label": wanted.label, "needs_review": wanted.needs_review, "version": wanted.version}

    status, _, headers = service.ask("/classify", {"text": "hello"}, {"X-Request-Id": "page-17"})
    assert (status, headers["x-request-id"]) == (200, "page-17")


def test_the_service_says_what_is_wrong_with_a_comment(server, entry, start):
    service = start(server.address.grpc)
    assert service.ask("/classify", {"text": " "})[:2] == (422, {"detail": "text 0 is empty"})
    status, said, _ = service.ask("/classify", {"text": "a" * (entry.serving.max_text_bytes + 1)})
    assert status == 422 and f"at most {entry.serving.max_text_bytes}" in said["detail"]


def test_the_service_without_a_model_server(start):
    service = start("127.0.0.1:1")
    assert service.ask("/live")[0] == 200
    assert service.ask("/ready")[0] == 503
    status, said, headers = service.ask("/classify", {"text": "hello"})
    assert (status, said) == (503, {"detail": "the model gave no answer: Unavailable"})
    assert headers["retry-after"] == "1"
    assert "127.0.0.1:1" in service.log


def test_the_service_ends_as_it_should(server, start):
    service = start(server.address.grpc)
    assert service.ask("/classify", {"text": "hello"})[0] == 200
    service.process.send_signal(signal.SIGTERM)
    # uvicorn raises the signal again when all is closed.
    assert service.process.wait(20) in (0, -signal.SIGTERM)
    assert "Application shutdown complete" in service.log
    assert "Traceback" not in service.log and "Warning" not in service.log


def test_a_csv_job_that_is_killed_and_started_again(server, texts, tmp_path):
    source, target = tmp_path / "comments.csv", tmp_path / "scored.csv"
    many = [f"{text} ({n})" for n in range(6) for text in texts]
    with source.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["id", "text"], *([str(n), text] for n, text in enumerate(many))])
    part = target.with_name("scored.csv.part")
    command = [sys.executable, "-W", "error", str(EXAMPLES / "score_csv.py"), str(source), str(target)]
    command += ["--target", server.address.grpc]

    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        some = wait_until(lambda: part.exists() and part.read_bytes().count(b"\n") > 100, timeout_s=60.0, step_s=0.01)
    finally:
        process.kill()
        process.wait()
    assert some and not target.exists()
    kept = part.read_bytes().count(b"\n") - 1
    assert kept < len(many), "it was killed too late to show anything"

    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    with target.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["text"] for row in rows] == many
    with Client(server.address.grpc, timeout_s=60.0) as client:
        places = [0, kept - 1, kept, kept + 1, len(many) - 1, *range(5, len(many), 97)]
        for place, wanted in zip(places, client.classify(MODEL, [many[i] for i in places]), strict=True):
            row = rows[place]
            assert (row["id"], row["label"], row["version"]) == (str(place), wanted.label, wanted.version)
            assert float(row["score"]) == pytest.approx(wanted.score, abs=1e-6)
            assert row["needs_review"] == str(wanted.needs_review)
    assert not part.exists()
