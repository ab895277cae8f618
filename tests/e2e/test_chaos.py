"""`luxe bench chaos`, short: real servers are killed, restarted, updated and paused under load, and no call fails."""

import json
import signal
import subprocess
import time

import psutil
from e2e_support import LUXE, MODEL, assert_refused, luxe, running, tree, wait_until

SHORT = ("--seconds", "1", "--calm-s", "2", "--rate", "10")
PHASES = ("kill", "restart", "update", "pause")


def phases(*names):
    return [word for name in names for word in ("--phase", name)]


def test_no_call_fails(copy):
    before = tree(copy.repository)
    done = luxe("bench", "chaos", MODEL, "--root", copy.root, *SHORT, *phases(*PHASES), "--json", timeout_s=400)
    found = json.loads(done.out)
    failed = [call for call in found["calls"] if call["outcome"] != "ok" or call["wrong"]]
    assert failed == []
    assert done.status == 0, done.err
    assert found["passed"]
    assert tree(copy.repository) == before, "the published model is only read"

    figures = {one["name"]: one for one in found["figures"]}
    assert list(figures) == ["calm", *PHASES, "all"]
    assert all(one["calls"] > 0 and one["failed"] == one["unsent"] == 0 for one in figures.values())
    assert figures["all"]["calls"] == len(found["calls"]) > 200
    assert figures["all"]["tries_a_call"] <= 1.1
    old, new = figures["update"]["versions"]
    assert (int(old), int(new)) == (1, 2)
    assert list(figures["pause"]["versions"]) == [new]
    what = [event["what"] for event in found["events"]]
    assert what == ["kill -9", "SIGTERM", "load", "load", "load", "SIGSTOP", "SIGCONT"]
    assert len({call["replica"] for call in found["calls"]}) == 3

    (folder,) = copy.bench_results.glob(f"{MODEL}-chaos-*")
    assert json.loads((folder / "chaos.json").read_text(encoding="utf-8")) == found
    assert {path.name for path in folder.iterdir()} == {"chaos.json", "calls.png", "calls.svg"}
    assert len((copy.bench_results / "chaos-history.jsonl").read_text(encoding="utf-8").splitlines()) == 1
    print(f"{len(found['calls'])} calls, {figures['all']['tries_a_call']:.3f} tries each, p99 {found['figures'][-1]}")


def test_nothing_outlives_it_though_a_server_is_paused(copy):
    """Ctrl-C takes the same way."""
    command = [str(LUXE), "bench", "chaos", MODEL, "--root", str(copy.root), "--calm-s", "0", *phases("pause")]
    process = psutil.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    family = set()

    def paused():
        family.update(process.children(recursive=True))
        return any(one.status() == psutil.STATUS_STOPPED for one in running(family))

    try:
        assert wait_until(paused, timeout_s=120), "no server was ever paused"
        assert len([one for one in running(family) if one.name() == "tritonserver"]) == 3
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=90)
        assert process.returncode == 130
        assert running(family) == [], f"{time.monotonic() - began:.1f} s after the signal"
        assert not copy.bench_results.exists()
    finally:
        for one in running([process, *family]):
            one.kill()


def test_a_model_that_is_not_published_is_refused(copy):
    for entry in copy.repository.glob("*"):
        entry.rename(copy.root / entry.name)
    assert_refused(luxe("bench", "chaos", MODEL, "--root", copy.root), MODEL, "luxe export")
    assert not copy.bench_results.exists()
