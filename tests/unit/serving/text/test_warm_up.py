import collections
import threading

import numpy as np
import pytest
from text_models import SETTINGS, WAIT_S

from luxe_serving.scheduling.cost import CostModel
from luxe_serving.text import warm_up as module
from luxe_serving.text.padded import PaddedEngine, shapes
from luxe_serving.text.warm_up import warm_up


class Clocked(PaddedEngine):
    """An engine that says how long a run took, instead of taking it."""

    def __init__(self, engine, seconds):
        super().__init__(SETTINGS, engine, per_token=False)
        self._seconds, self._now_s, self.calls = seconds, 0.0, collections.Counter()

    def time(self, batch, length):
        self.calls[batch, length] += 1
        taken = self._seconds(batch, length, self.calls[batch, length])
        ticks = iter([0.0, taken])
        return super().time(batch, length, clock=lambda: next(ticks))


def ones(tensors):
    return np.ones((len(tensors["input_ids"]), 3), dtype=np.float32)


@pytest.fixture
def quick(monkeypatch):
    """Each shape is timed once, and an engine that cannot be reached is given up soon."""
    monkeypatch.setattr(module, "_TIMED_S", 0.0)
    monkeypatch.setattr(module, "_PATIENCE_S", 0.2)
    monkeypatch.setattr(module, "_PAUSE_S", 0.01)


def test_every_shape_runs_and_the_cost_is_found(quick):
    cost = CostModel(2e-3, 1e-4, 1e-6)
    engine = Clocked(ones, lambda batch, length, _: cost.seconds(batch, length))
    found = warm_up(engine, max_length=100, max_batch=6, instances=1)
    assert {shape: n for shape, n in engine.calls.items() if shape != (1, 1)} == dict.fromkeys(shapes(100, 6), 2)
    assert found.per_run == pytest.approx(2e-3)
    assert found.per_token == pytest.approx(1e-4)
    assert found.per_pair == pytest.approx(1e-6)


def test_the_first_run_of_a_shape_is_not_timed_and_the_least_counts():
    """The first pays for memory; others may be disturbed."""
    cost, slow = CostModel(2e-3, 1e-5), {1: 0.001, 2: 3.0}  # the first is fast here, and so would be the least

    def seconds(batch, length, times):
        return cost.seconds(batch, length) * slow.get(times, 1.0)

    engine = Clocked(ones, seconds)
    found = warm_up(engine, max_length=64, max_batch=4, instances=1)
    assert min(engine.calls[shape] for shape in shapes(64, 4)) > 2
    assert found.seconds(4, 64) == pytest.approx(cost.seconds(4, 64), rel=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_a_disturbed_machine_hides_not_what_a_run_costs(seed):
    """A third of all runs takes up to four times as long."""
    cost, chance = CostModel(1.5e-3, 3e-4, 5e-7), np.random.default_rng(seed)

    def seconds(batch, length, _):
        return cost.seconds(batch, length) * (1 if chance.random() < 2 / 3 else chance.uniform(1, 4))

    found = warm_up(Clocked(ones, seconds), max_length=128, max_batch=16, instances=2)
    assert found.per_run == pytest.approx(cost.per_run, rel=0.25)
    assert found.seconds(16, 32) == pytest.approx(cost.seconds(16, 32), rel=0.25)


def test_a_small_shape_runs_often_and_a_large_one_once():
    cost = CostModel(1e-3, 1e-4)
    engine = Clocked(ones, lambda batch, length, _: cost.seconds(batch, length))
    warm_up(engine, max_length=128, max_batch=16, instances=1)
    assert engine.calls[shapes(128, 16)[0]] >= 10
    assert engine.calls[16, 128] == 2


def test_all_instances_run_at_once(quick):
    together = threading.Barrier(3)

    def engine(tensors):
        if tensors["input_ids"].shape != (1, 1):  # which asks whether it is there
            together.wait(WAIT_S)
        return ones(tensors)

    found = warm_up(PaddedEngine(SETTINGS, engine, per_token=False), max_length=16, max_batch=2, instances=3)
    assert found is not None
    assert not together.broken


def test_an_engine_that_is_loaded_later(quick):
    left = [3]

    def engine(tensors):
        if left[0]:
            left[0] -= 1
            raise RuntimeError("not there yet")
        return ones(tensors)

    found = warm_up(PaddedEngine(SETTINGS, engine, per_token=False), max_length=16, max_batch=2, instances=2)
    assert left == [0]
    assert found.per_token > 0


def test_an_engine_that_never_comes(quick, caplog):
    def engine(tensors):
        raise RuntimeError("out of order")

    assert warm_up(PaddedEngine(SETTINGS, engine, per_token=False), max_length=16, max_batch=2, instances=2) is None
    assert "no answer within" in caplog.text
    assert "out of order" in caplog.text


def test_an_engine_that_fails_at_a_shape(quick, caplog):
    def engine(tensors):
        if tensors["input_ids"].shape == (2, 16):
            raise RuntimeError("too large")
        return ones(tensors)

    assert warm_up(PaddedEngine(SETTINGS, engine, per_token=False), max_length=16, max_batch=2, instances=2) is None
    assert "too large" in caplog.text
