"""What `luxe bench cost` is held against, and what it keeps and shows."""

import dataclasses
import json
from datetime import datetime, timezone
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from luxe.cli import app
from luxe.cli_bench import Part
from luxe.errors import UserError
from luxe.manifest import Manifest
from luxe_bench.cost import picture, record, show
from luxe_bench.cost.parts.cache import Cache
from luxe_bench.cost.parts.latency import Latency
from luxe_bench.cost.parts.memory import Memory, Started
from luxe_bench.cost.parts.neighbours import Neighbours
from luxe_bench.cost.parts.overload import CALM, OVER, Overload, step
from luxe_bench.cost.parts.ratio import FASTAPI, LUXE, TUNED, Ratio
from luxe_bench.cost.run import PARTS, measure
from luxe_bench.cost.statistics import EXPIRED, Load, Summary
from luxe_bench.cost.targets import Results, judge

ONE = Summary(
    requests=100,
    answered=100,
    errors={},
    per_s=200.0,
    p50_ms=10.0,
    p95_ms=30.0,
    p99_ms=40.0,
    cpu_s_per_1000=5.0,
    generator_cpu_s_per_1000=0.5,
)
RATIO = Ratio(
    rounds=1,
    texts_a_round=100,
    engine_batch=8,
    engine_cpu_s_per_1000=4.5,
    engine_alone_ms=5.0,
    engine_alone_without_tokens_ms=4.5,
    luxe_over_engine_cpu=1.15,
    luxe_over_fastapi_per_s=2.0,
    luxe_over_fastapi_cpu=0.5,
    luxe_over_fastapi_p50=1.0,
    luxe_over_tuned_per_s=1.2,
    luxe_over_tuned_cpu=0.9,
    luxe_above_engine_ms=1.5,
    servers={LUXE: [ONE], FASTAPI: [ONE], TUNED: [ONE]},
    one_caller={LUXE: [ONE], FASTAPI: [ONE], TUNED: [ONE]},
)


def some_step(share, **values):
    times = np.zeros(1)
    made = step(Load(times, times, times + 0.01, ["OK"], 1.0, 0.1, 0.1), share, 100 * share, 1.0, 500)
    return dataclasses.replace(made, **values)


OVERLOAD = Overload(
    deadline_ms=500,
    capacity_per_s=100.0,
    capacity_callers=32,
    one_caller_p50_ms=10.0,
    steps=[
        some_step(CALM, summary=ONE, sent_late=1),
        some_step(OVER, in_time_per_s=90.0, refused=200, refusal_p95_ms=50.0, refusal_max_ms=80.0),
    ],
)
GOOD = Results(
    ratio=RATIO,
    latency=Latency({1: ONE, 32: ONE}, padding_share=0.1, padding_share_to_the_longest=0.6),
    overload=OVERLOAD,
    memory=Memory({1: Started(2.0, 200_000_000), 8: Started(9.0, 1_200_000_000)}),
    cache=Cache(ONE, ONE, 0.7),
    neighbours=Neighbours(ONE, ONE, ONE, 2.0),
    checked=1234,
)


def missed(results):
    return [check.name for check in judge(results) if not check.met]


def test_at_the_bounds_everything_is_met():
    assert missed(GOOD) == []
    assert len(judge(GOOD)) == 14


@pytest.mark.parametrize(
    "part, change, name",
    [
        ("ratio", {"luxe_over_engine_cpu": 1.151}, "CPU / engine alone"),
        ("ratio", {"luxe_above_engine_ms": 1.51}, "p50 above engine, 1 caller, ms"),
        ("ratio", {"luxe_over_fastapi_per_s": 1.99}, "requests/s / FastAPI"),
        ("ratio", {"luxe_over_fastapi_cpu": 0.51}, "CPU / FastAPI"),
        ("ratio", {"luxe_over_fastapi_p50": 1.01}, "p50 / FastAPI, 1 caller"),
        ("ratio", {"luxe_over_fastapi_p50": None}, "p50 / FastAPI, 1 caller"),
        ("latency", {"padding_share": 0.11}, "padding share, 32 callers"),
        ("latency", {"padding_share": None}, "padding share, 32 callers"),
        ("overload", {"capacity_per_s": 101.0}, "in time at 3× / capacity"),
        ("overload", {"one_caller_p50_ms": 9.9}, "p95 at 80% / p50 of 1 caller"),
        ("neighbours", {"ratio": 2.1}, "p95 beside a flood / alone"),
        ("neighbours", {"ratio": None}, "p95 beside a flood / alone"),
    ],
)
def test_each_bound_is_held(part, change, name):
    """What could not be measured is missed too."""
    changed = dataclasses.replace(getattr(GOOD, part), **change)
    assert missed(dataclasses.replace(GOOD, **{part: changed})) == [name]


@pytest.mark.parametrize(
    "change, name", [({"timed_out": 1}, "timed out at 3×"), ({"refusal_p95_ms": 50.1}, "refusals at 3×, p95 ms")]
)
def test_the_steps_bounds_are_held(change, name):
    steps = [OVERLOAD.at(CALM), dataclasses.replace(OVERLOAD.at(OVER), **change)]
    assert missed(dataclasses.replace(GOOD, overload=dataclasses.replace(OVERLOAD, steps=steps))) == [name]


def test_a_load_that_was_sent_late_is_none():
    steps = [dataclasses.replace(OVERLOAD.at(CALM), sent_late=2), OVERLOAD.at(OVER)]
    overload = dataclasses.replace(OVERLOAD, steps=steps)
    assert missed(dataclasses.replace(GOOD, overload=overload)) == ["sent late at 80%, share"]


def test_a_part_that_fails_leaves_the_others(monkeypatch, capsys):
    def fails(rig):
        raise UserError("FastAPI does not start")

    rig = SimpleNamespace(checked=7, wrong=0, failed=0)
    monkeypatch.setitem(PARTS, "ratio", ("", fails))
    monkeypatch.setitem(PARTS, "cache", ("", lambda rig: GOOD.cache))
    results = measure(rig, ["ratio", "cache"])
    assert results == Results(cache=GOOD.cache, checked=7, broken={"ratio": "FastAPI does not start"})
    assert missed(results) == ["ratio could not be measured"]
    assert "luxe: ratio could not be measured: FastAPI does not start" in capsys.readouterr().err


def test_where_nothing_is_refused_no_refusal_is_slow():
    steps = [OVERLOAD.at(CALM), dataclasses.replace(OVERLOAD.at(OVER), refused=0, refusal_p95_ms=None)]
    assert missed(dataclasses.replace(GOOD, overload=dataclasses.replace(OVERLOAD, steps=steps))) == []


@pytest.mark.parametrize(
    "change, name", [({"wrong": 1}, "wrong answers"), ({"failed": 1}, "unanswered in closed loops")]
)
def test_wrong_and_missing_answers_fail_a_run(change, name):
    assert missed(Results(**change)) == [name]


def test_a_part_that_did_not_run_has_no_target():
    assert [check.name for check in judge(Results())] == ["wrong answers", "unanswered in closed loops"]


def test_a_step_tells_answers_refusals_and_waits_apart():
    """Deadline 100 ms; due at 0; the third and the last are sent 30 ms and 200 ms late."""
    status = ["OK", "OK", "OK", "UNAVAILABLE", EXPIRED, "DEADLINE_EXCEEDED", "OK"]
    due = np.zeros(7)
    sent = np.array([0, 0, 0.03, 0.01, 0, 0, 0.2])
    done = np.array([0.1, 0.101, 0.12, 0.02, 0.1, 0.1, 0.25])
    found = step(Load(due, sent, done, status, 1.0, 0.1, 0.1), 3.0, 7.0, 0.5, 100)
    assert found.in_time_per_s == 2, "one answer in half a second"
    assert found.refused == 1
    assert found.refusal_p95_ms == found.refusal_max_ms == pytest.approx(10)
    assert found.timed_out == 3, "an answer 101 ms after it was sent, one that expired, one cut off"
    assert found.deadline_exceeded == 1
    assert found.sent_late == 2


def about():
    manifest = Manifest(model="m", version=3, rollback_of=None, files={}, precision="int8-static")
    started = datetime(2026, 1, 2, 3, 4, tzinfo=timezone.utc)
    return record.facts(manifest, started=started, load_before=0.5, texts=400, seconds=3.0)


def test_a_run_is_kept_whole_and_as_a_line(tmp_path):
    bad = dataclasses.replace(GOOD, wrong=2)
    for results in (GOOD, bad):
        checks = judge(results)
        whole = record.whole(about(), results, checks)
        record.write(tmp_path, tmp_path / "run", whole, record.line(about(), results, checks))
    lines = [json.loads(line) for line in (tmp_path / record.HISTORY).read_text(encoding="utf-8").splitlines()]
    assert [line["passed"] for line in lines] == [True, False]
    assert [line["missed"] for line in lines] == [[], ["wrong answers"]]
    assert lines[0]["model"] == "m" and lines[0]["version"] == 3 and lines[0]["precision"] == "int8-static"
    assert lines[0]["time"] == "2026-01-02 03:04 UTC"
    assert lines[0]["measured"]["CPU / engine alone"] == 1.15
    assert lines[0]["memory_bytes"] == {"1": 200_000_000, "8": 1_200_000_000}
    kept = json.loads((tmp_path / "run" / "cost.json").read_text(encoding="utf-8"))
    assert kept["passed"] is False and kept["wrong"] == 2
    assert kept["versions"]["fastapi"] and kept["cores"] >= 1
    assert kept["ratio"]["servers"][LUXE][0]["p50_ms"] == 10.0
    assert kept["overload"]["steps"][1]["refused"] == 200


def test_nothing_of_a_part_that_did_not_run_is_in_the_line():
    line = record.line(about(), Results(), judge(Results()))
    assert not {"capacity_per_s", "memory_bytes", "cache_hit_rate"} & line.keys()


def test_everything_is_shown(capsys):
    show.show(GOOD, judge(GOOD), about(), list(PARTS))
    printed = capsys.readouterr().out
    for words in ("FastAPI tuned: --threads 1", "as one would write it", "hit rate 70.0%", "1234 answers", "PASS"):
        assert words in printed
    assert max(map(len, printed.splitlines())) <= 120


def test_what_is_missing_is_said(capsys):
    results = Results(latency=dataclasses.replace(GOOD.latency, padding_share=None))
    show.show(results, judge(results), about(), ["latency", "cache"])
    printed = capsys.readouterr().out
    assert printed.count("not exported") == 2
    assert "published without one" in printed and "FAIL" in printed


@pytest.mark.parametrize("values", [{}, {"p50_ms": None, "p95_ms": None, "p99_ms": None}])
def test_the_picture_is_drawn_also_without_answers(values, tmp_path):
    steps = [dataclasses.replace(s, summary=dataclasses.replace(ONE, **values)) for s in OVERLOAD.steps]
    picture.write(dataclasses.replace(OVERLOAD, steps=steps), tmp_path, model="m")
    assert (tmp_path / "latency.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "latency.svg").read_text(encoding="utf-8")


def test_the_command_has_the_parts():
    assert [part.value for part in Part] == list(PARTS)


@pytest.mark.parametrize("arguments", [["--part", "speed"], ["--texts", "3"], ["--seconds", "0"]])
def test_options_are_checked(arguments, tmp_path):
    done = CliRunner().invoke(app, ["bench", "cost", "m", "--root", str(tmp_path), *arguments])
    assert done.exit_code == 2


ENTRY = 'description = "x"\ntask = "feature-extraction"\nmax_length = 32\n'
SLO = "[slo]\nrequests_per_s = 1\np50_ms = 1\np95_ms = 1\np99_ms = 1\nmax_error_share = 0.0\n"


def test_another_task_is_refused(tmp_path):
    (tmp_path / "catalog").mkdir()
    (tmp_path / "catalog" / "m.toml").write_text(ENTRY + SLO, encoding="utf-8")
    done = CliRunner().invoke(app, ["bench", "cost", "m", "--root", str(tmp_path)])
    assert isinstance(done.exception, UserError)
    assert "single texts one label" in str(done.exception)
