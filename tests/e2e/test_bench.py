"""`luxe bench` and Locust itself against the real server."""

import json
import os
import subprocess
import sys
import time
import urllib.request

import pytest
from e2e_support import MODEL, assert_refused, copy_project, luxe, set_key, wait_until

from luxe import catalog
from luxe.project import Project
from luxe_bench.verdict import judge
from luxe_serving.launcher.server import free_address

LOOSE = {"p50_ms": "20000", "p95_ms": "20000", "p99_ms": "20000", "max_error_share": "0.0"}
LOAD = ("--duration-s", "3", "--rate", "20")


@pytest.fixture
def loose(tmp_path):
    """A project whose [slo] only asks that every request is answered."""
    copy_project(tmp_path / "loose")
    project = Project.open(tmp_path / "loose")
    for key, value in LOOSE.items():
        set_key(project.catalog / f"{MODEL}.toml", key, value)
    return project


def report(project):
    """The content of result.json and index.html."""
    (folder,) = project.bench_results.iterdir()
    return json.loads((folder / "result.json").read_text()), (folder / "index.html").read_text()


def test_a_loose_target_is_met_and_reported(loose, server):
    done = luxe("bench", MODEL, "--root", loose.root, "--address", server.address.grpc, *LOAD, "--json")
    assert done.status == 0, done.err
    result, page = report(loose)
    assert result["passed"] is True
    assert 55 <= result["requests"] <= 65, "3 s at 20 a second"
    assert result["answered"] == result["requests"] == len(result["samples"])
    assert result["errors"] == {}
    due = [sample[0] for sample in result["samples"]]
    assert due == pytest.approx([i / 20 for i in range(len(due))], abs=1e-3), "arrivals follow the schedule"
    assert all(latency > 0 and error is None for _, latency, error in result["samples"])
    printed = json.loads(done.out)
    assert printed == {key: result[key] for key in printed}
    assert all(check["met"] for check in printed["checks"])
    assert f"{MODEL}: " in page
    assert "pass" in page
    assert "data:image/png;base64," in page
    assert "index.html" in done.err


def test_an_impossible_target_fails_with_the_reason_and_is_reported(loose, server):
    set_key(loose.catalog / f"{MODEL}.toml", "p50_ms", "0.01")
    done = luxe("bench", MODEL, "--root", loose.root, "--address", server.address.grpc, *LOAD)
    assert done.status == 1, done
    reason = done.err.splitlines()[-1]
    assert reason.startswith("luxe: ")
    assert "p50" in reason
    assert "p95" not in reason
    assert "FAIL" in done.out
    result, page = report(loose)
    assert result["passed"] is False
    assert [check["name"] for check in result["checks"] if not check["met"]] == ["p50 ms"]
    assert "missed" in page


def test_a_dead_address_is_an_error_and_no_result(loose):
    nobody = free_address().grpc
    assert_refused(luxe("bench", MODEL, "--root", loose.root, "--address", nobody, *LOAD), nobody)
    assert not loose.bench_results.exists()


def test_a_model_that_is_not_served_is_an_error_and_no_result(loose, server):
    (loose.catalog / f"{MODEL}.toml").rename(loose.catalog / "other.toml")
    asked = ("bench", "other", "--root", loose.root, "--address", server.address.grpc, *LOAD)
    assert_refused(luxe(*asked), "other", "unknown model")
    assert not loose.bench_results.exists()


def test_no_request_is_a_miss(loose):
    slo = catalog.load(loose, MODEL).slo
    verdict = judge([], slo, offered_per_s=20, duration_s=3)
    assert not verdict.passed
    assert not any(check.met for check in verdict.checks)


def test_locusts_own_web_page(loose, server):
    port = free_address().http_port
    command = [
        *(sys.executable, "-m", "locust", "-f", str(loose.root / "benchmarks" / "locustfile.py")),
        *("--web-host", "127.0.0.1", "--web-port", str(port), "--users", "1"),
        *("--autostart", "--run-time", "8s", "--autoquit", "10"),
        *("--host", server.address.grpc, "--model", MODEL, "--rate", "20", "--root", str(loose.root)),
    ]

    def get(path):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            assert answer.status == 200
            return answer.read().decode()

    def is_up():
        try:
            get("/")
        except OSError:
            return locust.poll() is not None
        return True

    log = loose.root / "locust.log"
    with log.open("wb") as output:
        locust = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=os.environ)
    try:
        assert wait_until(is_up, timeout_s=30), log.read_text()
        assert locust.poll() is None, log.read_text()
        assert "Locust" in get("/")
        most = 0
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline and most < 40:
            stats = json.loads(get("/stats/requests"))
            (total,) = (row for row in stats["stats"] if row["name"] == "Aggregated")
            assert total["num_failures"] == 0
            most = max(most, total["num_requests"])
            time.sleep(0.2)
        assert most >= 40, "8 s at 20 a second, less the start"
        assert {row["name"] for row in stats["stats"]} == {MODEL, "Aggregated"}
        assert locust.wait(timeout=30) == 0, log.read_text()
    finally:
        if locust.poll() is None:
            locust.kill()
        locust.wait()
