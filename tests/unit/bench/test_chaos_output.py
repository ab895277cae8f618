"""What a run leaves: the record, the picture, the tables; and what the right answers are."""

import json
import socket
from pathlib import Path

import numpy as np
import pytest
from chaos_calls import EVENTS, PHASES, call, some

from luxe_bench.chaos import picture, record, show
from luxe_bench.chaos.figures import figures
from luxe_bench.chaos.fleet import addresses
from luxe_bench.chaos.known import distinct
from luxe_bench.chaos.verdict import judge

ABOUT = {
    "servers": 3,
    "rate": 15.0,
    "client": "Client",
    "cores": 2,
    "cpu": "some",
    "load_before": 0.1,
    "load_after": 0.2,
}


def made(calls):
    found = figures(calls, PHASES, EVENTS, end_s=50.0)
    return found, judge(found)


def test_a_run_is_kept_whole_and_as_a_line(tmp_path):
    calls = some(outcome="Unavailable", message="gone")
    found, checks = made(calls)
    content = record.whole(ABOUT, found, checks, calls=calls, phases=PHASES, events=EVENTS)
    for _ in range(2):
        record.write(tmp_path, tmp_path / "run", content, record.line(ABOUT, found, checks))
    kept = json.loads((tmp_path / "run" / "chaos.json").read_text(encoding="utf-8"))
    assert kept["passed"] is False
    assert len(kept["calls"]) == 100 and kept["calls"][30]["message"] == "gone"
    assert kept["phases"][0] == {"name": "kill", "begin_s": 10.0, "end_s": 20.0}
    assert kept["events"][0] == {"at_s": 11.0, "what": "kill -9", "replica": "a:1"}
    lines = (tmp_path / record.HISTORY).read_text(encoding="utf-8").splitlines()
    assert len(lines) == 2
    short = json.loads(lines[0])
    assert short["missed"] == ["failed calls"] and short["failed"] == 1 and short["calls"] == 100
    assert short["p99_ms"].keys() == {"calm", "kill", "update", "all"}


@pytest.mark.parametrize("calls", [some(outcome="Unavailable", done_s=None), some(wrong=True), []])
def test_a_picture_is_drawn_of_any_run(tmp_path, calls):
    picture.write(tmp_path, calls, PHASES, EVENTS, ["a:1", "b:1", "c:1"])
    assert {path.name for path in tmp_path.iterdir()} == {"calls.png", "calls.svg"}


def test_the_table_tells_what_failed(capfd):
    calls = [*some(outcome="Unavailable"), call(31.5, version="2")]
    found, checks = made(calls)
    show.show(found, checks, ABOUT)
    out = capfd.readouterr().out
    row = next(line for line in out.splitlines() if line.startswith("kill"))
    assert row.split() == ["kill", "10", "1", "25", "1", "0", "0", "1.000", "20", "20", "20"]
    assert "failed: 1 Unavailable" in out
    assert "missed failed calls: 1, wanted <= 0" in out
    assert "answers in update: 25 of version 1, 1 of version 2" in out
    assert out.rstrip().endswith("FAIL")


def test_a_table_of_nothing_is_a_fail(capfd):
    found, checks = made([])
    show.show(found, checks, ABOUT)
    assert capfd.readouterr().out.rstrip().endswith("FAIL")


def test_texts_whose_answers_could_be_taken_for_one_another_are_left_out():
    scores = np.array([[0.9, 0.1], [0.88, 0.12], [0.8, 0.2], [0.1, 0.9]], np.float32)
    assert distinct(scores) == [0, 2, 3]


def test_servers_get_ports_that_are_free_and_that_no_connection_is_given():
    ports = [p for a in addresses(3) for p in (a.http_port, a.grpc_port, a.metrics_port)]
    assert len(set(ports)) == 9
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert not any(low <= port <= high for port in ports)
    for port in ports:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", port))
