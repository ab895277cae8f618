import dataclasses
import json

import pytest
from measurements import GOOD

from luxe_export.gate.choice import Verdict, choose, explain
from luxe_export.gate.latency import Latency, Shape


def verdict(name, ms, *findings):
    measurement = dataclasses.replace(GOOD, candidate=name)
    return Verdict(name, measurement, Latency((Shape(1, 6, ms, ms / 10),), ms, ms / 10), findings)


def winner(*verdicts):
    chosen = choose(verdicts)
    return chosen and chosen.candidate


def test_the_fastest_that_passes_wins():
    assert winner(verdict("fp32", 10.0), verdict("a", 6.0), verdict("b", 4.0)) == "b"


def test_what_fails_does_not_win_however_fast():
    assert winner(verdict("fp32", 10.0), verdict("a", 1.0, "agreement is under 0.98")) == "fp32"


def test_nobody_wins_when_none_passes():
    assert winner(verdict("fp32", 10.0, "no"), Verdict("a", None, None, ("not built: why",))) is None
    assert winner() is None


def test_what_was_not_timed_does_not_win():
    timed = verdict("fp32", 10.0)
    assert winner(Verdict("a", timed.measurement, None, ()), timed) == "fp32"


def test_the_ratio_of_the_same_rounds_decides():
    """A candidate whose rounds were slow ones, but not slower against fp32, is not slower."""
    slow_hour = verdict("a", 6.0)
    slow_hour = dataclasses.replace(slow_hour, latency=dataclasses.replace(slow_hour.latency, ratio=0.40))
    assert winner(verdict("fp32", 10.0), slow_hour, verdict("b", 4.0)) == "a"


def test_where_nothing_was_timed_the_first_wins():
    measured = verdict("fp32", 10.0).measurement
    untimed = [
        Verdict("a", None, None, ("not built: why",)),
        Verdict("b", measured, None, ()),
        Verdict("c", measured, None, ()),
    ]
    assert winner(*untimed) == "b"
    assert explain(untimed) == [
        "a: not built: why",
        "b: wins: the first that passes; it was not timed",
        "c: was not timed",
    ]


@pytest.mark.parametrize(("a", "b"), [(4.0, 4.15), (4.15, 4.0), (4.4, 4.0)])
def test_noise_does_not_decide(a, b):
    assert winner(verdict("fp32", 10.0), verdict("a", a), verdict("b", b)) == "a"


def test_more_than_noise_decides():
    assert winner(verdict("fp32", 10.0), verdict("a", 4.41), verdict("b", 4.0)) == "b"


def test_what_fails_does_not_set_the_pace():
    assert winner(verdict("a", 4.2), verdict("b", 4.1), verdict("c", 3.9, "fails")) == "a"


def test_every_candidate_is_explained():
    verdicts = [
        verdict("fp32", 10.0),
        verdict("a", 4.1),
        verdict("b", 4.0),
        verdict("c", 3.0, "one thing", "another"),
        Verdict("d", None, None, ("not built: why",)),
    ]
    assert explain(verdicts) == [
        "fp32: passes, but takes 2.50x the fastest's time",
        "a: wins: 4.10 ms a text, 0.41x fp32's time",
        "b: passes in 1.00x the fastest's time, which counts as equal; a comes first",
        "c: one thing",
        "c: another",
        "d: not built: why",
    ]


def test_the_reason_is_the_one_that_decided():
    """Within 10 % of the winner, but not of the fastest, which the winner counts as equal to."""
    verdicts = [verdict("a", 4.3), verdict("b", 4.5), verdict("c", 4.0), verdict("d", 3.0, "fails")]
    assert winner(*verdicts) == "a"
    assert explain(verdicts)[1:3] == [
        "b: passes, but takes 1.12x the fastest's time",
        "c: passes in 1.00x the fastest's time, which counts as equal; a comes first",
    ]


def test_a_verdict_is_json():
    written = json.loads(json.dumps(verdict("a", 4.0, "one thing").to_json(), allow_nan=False))
    assert written["findings"] == ["one thing"]
    assert written["latency"]["ms_per_text"] == 4.0
    assert written["latency"]["shapes"][0] == {"batch": 1, "tokens": 6, "ms": 4.0, "ratio": 0.4}
    assert json.loads(json.dumps(Verdict("d", None, None, ("no",)).to_json()))["measurement"] is None
