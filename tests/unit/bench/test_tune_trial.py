"""How settings are measured in turn: by whom, how often, in which order. No server is started."""

import contextlib
import dataclasses

import numpy as np
import pytest
from tune_figures import START

from luxe.errors import UserError
from luxe.schema import Slo
from luxe_bench.cost import copies, servers
from luxe_bench.cost.statistics import Load
from luxe_bench.tune.knobs import Knobs
from luxe_bench.tune.search import FINAL
from luxe_bench.tune.trial import CALLERS, Trial, judged, open_seconds

SLO = Slo(requests_per_s=50, p50_ms=100, p95_ms=250, p99_ms=500, max_error_share=0.005)
OTHER, THIRD = Knobs(1, 2, 16, 0), Knobs(1, 1, 16, 0)


def load(ms, *, per_s=100.0, status=None):
    due = np.arange(len(ms)) / per_s
    status = status or ["OK"] * len(ms)
    return Load(due, due, due + np.array(ms) / 1e3, status, len(ms) / per_s, 1.0, 0.1)


class Texts:
    def __init__(self):
        self.given = 0

    def take(self, count):
        self.given += count
        return [str(self.given - i) for i in range(count)]


class Rig:
    """Says what was asked of it; `speed` and `ms` are those of a setting."""

    def __init__(self, scratch, entry):
        self.scratch, self.texts = scratch, Texts()
        self.entry = entry.model_copy(update={"slo": SLO})
        self.source = self.manifest = None
        self.seconds = 6.0
        self.closed_loops, self.open_loops, self.texts_of = [], [], {}
        self.speed = lambda one: 100.0
        self.ms = lambda one: 10.0
        self.sick = []

    def closed(self, target, texts, *, callers, what):
        assert callers == CALLERS
        self.closed_loops.append(target)
        self.texts_of.setdefault(target, []).append(texts)
        return load([10.0] * len(texts), per_s=self.speed(target)), {}

    def open(self, target, due_s, *, what):
        self.open_loops.append(target)
        return load([self.ms(target)] * len(due_s))


@pytest.fixture
def rig(tmp_path, entry, monkeypatch):
    """A rig whose servers are the settings they were started with."""
    up, copied = [], {}

    def copy(source, manifest, names, folder, *, serving):
        folder.mkdir()
        copied[folder] = serving

    @contextlib.contextmanager
    def luxe(repository, model, log):
        assert repository.is_relative_to(tmp_path) and repository.is_dir()
        serving = copied[repository]
        if serving in rig.sick:
            rig.sick.remove(serving)
            raise UserError("Triton ended")
        up.append(serving)
        yield serving
        up.remove(serving)

    monkeypatch.setattr(copies, "copy", copy)
    monkeypatch.setattr(servers, "luxe", luxe)
    rig = Rig(tmp_path, entry)
    yield rig
    assert up == [], "a server outlives its comparison"
    assert list(tmp_path.iterdir()) == [], "a repository outlives its comparison"


def trial(rig, *, rounds=3):
    return Trial(rig, lambda one: one, rounds, 40)


def test_every_setting_is_loaded_in_turn_and_backwards_in_turn(rig):
    found = trial(rig)("micro-batch", [START, OTHER, THIRD])
    assert [one.knobs for one in found] == [START, OTHER, THIRD]
    assert rig.closed_loops == [START, OTHER, THIRD, THIRD, OTHER, START, START, OTHER, THIRD]
    assert all(len(one.rounds) == 3 and one.met for one in found)


def test_what_others_took_is_known_of_every_load(rig):
    measure = trial(rig)
    measure("micro-batch", [START, OTHER])
    assert len(measure.others) == len(rig.closed_loops) == 6


def test_servers_of_a_round_get_the_same_texts_and_none_a_text_twice(rig):
    trial(rig)("micro-batch", [START, OTHER])
    assert rig.texts_of[START] == rig.texts_of[OTHER]
    given = [text for texts in rig.texts_of[START] for text in texts]
    assert len(given) == len(set(given)) == 3 * 40


def test_a_server_that_does_not_start_is_started_again(rig):
    rig.sick = [OTHER]
    found = trial(rig)("micro-batch", [START, OTHER])
    assert rig.sick == [] and [len(one.rounds) for one in found] == [3, 3]


def test_a_hopeless_setting_is_left_out_after_two_rounds(rig):
    rig.speed = lambda one: 50.0 if one == OTHER else 100.0
    start, other, third = trial(rig, rounds=5)("micro-batch", [START, OTHER, THIRD])
    assert [len(one.rounds) for one in (start, other, third)] == [5, 2, 5]


def test_a_miss_of_the_slo_is_measured_twice(rig):
    rig.ms = lambda one: 600.0 if one == OTHER else 10.0
    start, other = trial(rig)("micro-batch", [START, OTHER])
    assert rig.open_loops == [START, OTHER, OTHER]
    assert start.met and not other.met
    assert len(other.rounds) == 2, "it cannot win"


def test_a_second_time_that_keeps_the_slo_counts(rig):
    rig.ms = lambda one: 600.0 if len(rig.open_loops) == 1 else 10.0
    (start,) = trial(rig)("micro-batch", [START])
    assert rig.open_loops == [START, START] and start.met


def test_the_slo_is_measured_once_a_setting_and_again_at_last(rig):
    measure = trial(rig)
    measure("micro-batch", [START, OTHER])
    measure("delay", [OTHER, THIRD])
    assert rig.open_loops == [START, OTHER, THIRD]
    measure(FINAL, [START, OTHER])
    assert rig.open_loops[3:] == [START, OTHER]


@pytest.mark.parametrize(("per_s", "seconds"), [(50, 6), (1000, 5), (1, 20), (20, 15)])
def test_an_open_loop_has_enough_requests_and_an_end(per_s, seconds):
    assert open_seconds(SLO.model_copy(update={"requests_per_s": per_s})) == seconds


def test_chance_does_not_decide_how_many_requests_must_be_answered():
    """A Poisson process makes 280 of 300 due now and then; all of them answered is all of them."""
    found = load([10.0] * 280)
    assert all(check.met for check in judged(found, found.due_s, SLO, 6.0))


@pytest.mark.parametrize(
    ("ms", "status", "missed"),
    [
        ([101.0] * 300, None, {"p50 ms"}),
        ([10.0] * 280 + [251.0] * 20, None, {"p95 ms"}),
        ([10.0] * 296 + [501.0] * 4, None, {"p99 ms"}),
        ([10.0] * 300, ["OK"] * 298 + ["UNAVAILABLE"] * 2, {"error share"}),
        ([10.0] * 300, ["OK"] * 200 + ["UNAVAILABLE"] * 100, {"error share", "answers/s"}),
    ],
)
def test_the_slo_is_held(ms, status, missed):
    found = load(ms, status=status)
    assert {check.name for check in judged(found, found.due_s, SLO, 6.0) if not check.met} == missed


def test_a_setting_says_how_it_was_measured(rig):
    (one,) = trial(rig, rounds=1)("micro-batch", [START])
    assert dataclasses.asdict(one)["open"]["p99_ms"] == pytest.approx(10.0)
    assert one.per_s == pytest.approx(100.0) and one.cpu_s_per_1000 == pytest.approx(25.0)
