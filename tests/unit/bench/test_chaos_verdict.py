"""The figures of `luxe bench chaos`, and what they are held against: the verdict bites."""

import dataclasses

import pytest
from chaos_calls import EVENTS, PHASES, call, some
from typer.testing import CliRunner

from luxe.cli import app
from luxe.cli_bench import Phase as PhaseOption
from luxe_bench.chaos.faults import FAULTS
from luxe_bench.chaos.figures import ALL, CALM, figures
from luxe_bench.chaos.verdict import judge


def judged(calls, phases=PHASES, events=EVENTS):
    return {check.name: check for check in judge(figures(calls, phases, events, end_s=50.0))}


def missed(calls, **more):
    return [name for name, check in judged(calls, **more).items() if not check.met]


def test_a_run_without_a_fault_passes():
    assert missed(some()) == []


@pytest.mark.parametrize(
    ("last", "target", "measured"),
    [
        ({"outcome": "Unavailable", "message": "gone"}, "failed calls", 1),
        ({"outcome": None, "done_s": None}, "failed calls", 1),
        ({"wrong": True}, "wrong answers", 1),
        ({"sent_s": None, "done_s": None, "outcome": None, "tries": 0}, "unsent calls", 1),
        ({"tries": 21}, "tries a call", 1.2),
    ],
)
def test_one_call_that_went_wrong_is_a_miss(last, target, measured):
    assert missed(some(**last)) == [target]
    assert judged(some(**last))[target].measured == pytest.approx(measured)


def test_tries_are_allowed_up_to_the_target():
    assert missed(some(tries=11)) == []
    assert missed(some(tries=12)) == ["tries a call"]


def test_a_run_in_which_nothing_was_called_or_done_shows_nothing():
    assert missed([]) == ["tries a call", "calls in kill", "calls in update"]
    assert missed(some(), events=EVENTS[1:]) == ["events in kill"]


def test_a_call_belongs_to_the_phase_in_which_it_was_due():
    calls = [call(9.9, ms=5000), call(10.0), call(19.9), call(20.0, ms=7000), call(35.0)]
    found = {one.name: one for one in figures(calls, PHASES, EVENTS, end_s=50.0)}
    assert {name: one.calls for name, one in found.items()} == {CALM: 2, "kill": 2, "update": 1, ALL: 5}
    assert {name: one.events for name, one in found.items()} == {CALM: 0, "kill": 1, "update": 2, ALL: 3}
    assert {name: one.seconds for name, one in found.items()} == {CALM: 30.0, "kill": 10.0, "update": 10.0, ALL: 50.0}
    assert found["kill"].most_ms == pytest.approx(20.0)
    assert found[CALM].most_ms == pytest.approx(7000.0)


def test_latency_counts_from_when_a_call_was_due_and_only_answers_have_one():
    calls = [call(1.0, sent_s=3.0, done_s=3.5), call(2.0, outcome="Unavailable")]
    (calm, all_) = figures(calls, [], [], end_s=5.0)
    assert calm == dataclasses.replace(all_, name=CALM)
    assert calm.p50_ms == calm.p99_ms == calm.most_ms == pytest.approx(2500.0)
    assert calm.errors == {"Unavailable": 1}


def test_answers_are_counted_by_version():
    calls = [call(31.0), call(32.0, version="2"), call(33.0, version="2"), call(34.0, outcome="ServerError")]
    (found,) = [one for one in figures(calls, PHASES, EVENTS, end_s=50.0) if one.name == "update"]
    assert found.versions == {"1": 1, "2": 2}


def test_the_phases_of_the_command_are_those_that_there_are():
    assert [phase.value for phase in PhaseOption] == list(FAULTS)


def test_the_command_wants_a_model_of_the_catalogue(tmp_path):
    (tmp_path / "catalog").mkdir()
    done = CliRunner().invoke(app, ["bench", "chaos", "nobody", "--root", str(tmp_path)])
    assert "unknown model 'nobody'" in str(done.exception)
