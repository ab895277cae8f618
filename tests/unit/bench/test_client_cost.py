"""What `luxe bench client` is held against, shows and keeps; and that every way of calling asks the same."""

import dataclasses

import pytest
from typer.testing import CliRunner

from luxe.cli import app
from luxe.errors import UserError
from luxe_bench.client_cost import show
from luxe_bench.client_cost.calls import Calls
from luxe_bench.client_cost.run import judge
from luxe_bench.client_cost.stream import BATCHES, ONES, STREAM, Stream
from luxe_bench.client_cost.ways import WAYS
from luxe_client.testing import FakeTriton, texts_of

GOOD = [Calls(shell, callers, [520.0, 130.0, 999.0], [400.0, 100.0, 100.0]) for callers in (1, 8) for shell in "ab"]
STREAMED = Stream(
    texts_a_round=100,
    per_s={STREAM: [95.0, 190.0, 10.0], ONES: [100.0, 200.0, 100.0], BATCHES: [100.0, 200.0, 100.0]},
    client_cpu_us={STREAM: [1.0], ONES: [2.0], BATCHES: [3.0]},
    differing=0,
)
FACTS = {"rounds": 3, "cores": 2, "cpu": "a processor", "load_before": 0.1, "load_after": 0.2}


def missed(called, streamed):
    return [check.name for check in judge(called, streamed) if not check.met]


def test_ratios_are_of_the_rounds():
    """Medians of the figures would hide a round in which the machine was busy: 520 and 100, so 5.2."""
    assert GOOD[0].ratio == 1.3
    assert STREAMED.ratio(ONES) == 0.95


def test_at_the_bounds_everything_is_met():
    assert missed(GOOD, STREAMED) == []
    assert len(judge(GOOD, STREAMED)) == 7


@pytest.mark.parametrize("which", range(4))
def test_each_client_is_held_to_its_bound(which):
    called = list(GOOD)
    called[which] = dataclasses.replace(GOOD[which], luxe_us=[520.5, 130.2, 999.0])
    (name,) = missed(called, STREAMED)
    assert f"{called[which].shell}, {called[which].callers} caller" in name


@pytest.mark.parametrize("other", [ONES, BATCHES])
def test_the_stream_is_held_to_both_kinds_of_callers(other):
    faster = dataclasses.replace(STREAMED, per_s={**STREAMED.per_s, other: [101.0, 202.0, 100.0]})
    assert missed(GOOD, faster) == [f"texts/s of iter_classify / {other}"]


def test_a_label_that_differs_fails_a_run():
    assert missed(GOOD, dataclasses.replace(STREAMED, differing=1)) == ["labels that differ"]


def test_a_stream_that_could_not_be_measured_misses_its_targets(capsys):
    assert missed(GOOD, None) == [f"texts/s of iter_classify / {other}" for other in (ONES, BATCHES)]
    show.show(GOOD, None, judge(GOOD, None), FACTS)
    printed = capsys.readouterr().out
    assert printed.count("not measured") == 2 and "FAIL" in printed


def test_everything_is_shown(capsys):
    bad = dataclasses.replace(STREAMED, differing=1)
    show.show(GOOD, bad, judge(GOOD, bad), FACTS)
    printed = capsys.readouterr().out
    for words in ("1.30", "0.95", STREAM, ONES, BATCHES, "missed", "FAIL"):
        assert words in printed
    assert max(map(len, printed.splitlines())) <= 120


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("batch", [1, 4])
def test_every_way_asks_every_text_once_and_understands_the_answers(name, batch):
    texts = [f"text {number}" for number in range(30)]
    with FakeTriton() as triton:
        triton.classify("m", lambda text: {"even": 1 - int(text[5:]) % 2, "odd": int(text[5:]) % 2})
        way = WAYS[name](triton.address, "m")
        assert way.go(texts, callers=3, batch=batch) == ["even", "odd"] * 15
        assert way.go([], callers=3, batch=batch) == []
        asked = [texts_of(request) for request in triton.requests]
        way.close()
    assert sorted(text for one in asked for text in one) == sorted(texts)
    if name != "iter_classify":
        assert {len(one) for one in asked} <= {batch, 30 % batch}


@pytest.mark.parametrize("arguments", [["--rounds", "0"], ["--calls", "99"], ["--texts", "31"]])
def test_options_are_checked(arguments, tmp_path):
    done = CliRunner().invoke(app, ["bench", "client", "m", "--root", str(tmp_path), *arguments])
    assert done.exit_code == 2


ENTRY = 'description = "x"\ntask = "feature-extraction"\nmax_length = 32\n'
SLO = "[slo]\nrequests_per_s = 1\np50_ms = 1\np95_ms = 1\np99_ms = 1\nmax_error_share = 0.0\n"


def test_another_task_is_refused(tmp_path):
    (tmp_path / "catalog").mkdir()
    (tmp_path / "catalog" / "m.toml").write_text(ENTRY + SLO, encoding="utf-8")
    done = CliRunner().invoke(app, ["bench", "client", "m", "--root", str(tmp_path)])
    assert isinstance(done.exception, UserError)
    assert "single texts one label" in str(done.exception)
