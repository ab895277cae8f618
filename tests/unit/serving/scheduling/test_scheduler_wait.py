"""How long a new text would wait, after whatever happened, and how the scheduler learns."""

import math

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from scheduling import BATCH, COSTS, LENGTH, PATIENCE_S, SHARE, own_s, scheduler

from luxe_serving.scheduling.cost import CostModel
from luxe_serving.scheduling.scheduler import Batch, Text


class Waiting(RuleBasedStateMachine):
    """A scheduler, and beside it a plain list of what waits and the sums over it."""

    @initialize(cost=COSTS, instances=st.integers(1, 4), max_batch=BATCH, share=SHARE)
    def begin(self, cost, instances, max_batch, share):
        self.cost, self.instances, self.max_batch = cost, instances, max_batch
        self.queue = scheduler(cost=cost, instances=instances, max_batch=max_batch, max_padding_share=share)
        self.waiting, self.number, self.now_s, self.pace = {}, 0, 0.0, 1.0

    @rule(rows=st.lists(st.tuples(LENGTH, st.floats(0, 20) | st.just(math.inf), st.booleans()), max_size=20))
    def put(self, rows):
        texts = []
        for length, timeout_s, bulk in rows:
            self.number += 1
            texts.append(Text(self.number, length, self.now_s, self.now_s + timeout_s, bulk))
        self.queue.put(texts)
        self.waiting.update((text.payload, text) for text in texts)

    @rule(seconds=st.floats(0, 3) | st.just(PATIENCE_S))
    def later(self, seconds):
        self.now_s += seconds

    @rule(factor=st.floats(0.5, 2))
    def take(self, factor):
        batch = self.queue.take(self.now_s)
        assert bool(self.waiting) == bool(batch.texts or batch.late)
        for text in (*batch.texts, *batch.late):
            assert self.waiting.pop(text.payload) == text
        if batch.texts:
            predicted = self.cost.seconds(len(batch.texts), batch.length)
            self.queue.done(batch, predicted * factor)
            self.pace += 0.1 * (factor - self.pace)
        elif batch.late:
            self.pace *= 0.9

    @rule(divisor=st.integers(1, 5))
    def drop(self, divisor):
        gone = self.queue.drop(lambda payload: payload % divisor == 0)
        assert {t.payload for t in gone} == {payload for payload in self.waiting if payload % divisor == 0}
        for text in gone:
            assert self.waiting.pop(text.payload) == text

    @rule(cost=COSTS)
    def use(self, cost):
        self.queue.use(cost)
        self.cost, self.pace = cost, 1.0

    @invariant()
    def all_waits_are_right(self):
        assert len(self.queue) == len(self.waiting)
        for bulk in (False, True):
            ahead = [
                own_s(self.cost, text, self.max_batch)
                for text in self.waiting.values()
                if bulk or not text.bulk or text.arrived_s + PATIENCE_S <= self.now_s
            ]
            right = self.pace * math.fsum(ahead) / self.instances
            found = self.queue.wait_s(self.now_s, bulk=bulk)
            assert found == pytest.approx(right, rel=1e-6, abs=1e-9)
            if not self.waiting:
                assert found == 0.0


TestWaiting = Waiting.TestCase
TestWaiting.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_a_new_text_waits_for_what_is_ahead_of_it():
    queue = scheduler(cost=CostModel(8.0, 1.0), max_batch=4, instances=2)
    queue.put([Text("a", 10), Text("b", 20), Text("c", 30, bulk=True)])
    # Own work, and of a full batch's start a quarter each; two instances.
    assert queue.wait_s(0.0) == pytest.approx((10 + 2 + 20 + 2) / 2)
    assert queue.wait_s(0.0, bulk=True) == pytest.approx((10 + 2 + 20 + 2 + 30 + 2) / 2)
    # Bulk that has been patient is ahead of all that comes now.
    assert queue.wait_s(PATIENCE_S - 0.001) == pytest.approx(17.0)
    assert queue.wait_s(PATIENCE_S) == pytest.approx(33.0)
    # And so it is when it is asked again, also after it was taken.
    assert queue.wait_s(PATIENCE_S) == pytest.approx(33.0)
    while len(queue):
        queue.take(PATIENCE_S)
    assert queue.wait_s(PATIENCE_S) == queue.wait_s(PATIENCE_S, bulk=True) == 0.0


def test_texts_that_will_be_put_before_it_count_as_the_mean_of_those_that_wait():
    queue = scheduler(cost=CostModel(8.0, 1.0), max_batch=4, instances=2)
    assert queue.wait_s(ahead=3) == 0.0  # nothing is known of them
    queue.put([Text("a", 10), Text("b", 20), Text("c", 30, bulk=True)])
    assert queue.wait_s(ahead=1) == pytest.approx((10 + 2 + 20 + 2 + 22) / 2)
    assert queue.wait_s(ahead=3, bulk=True) == 2 * queue.wait_s(bulk=True)


def test_nothing_waits_without_texts():
    assert scheduler().wait_s() == scheduler().wait_s(bulk=True) == 0.0
    assert scheduler().take() == Batch(())


@pytest.mark.parametrize("real", [0.25, 1.0, 4.0])
def test_the_pace_is_learnt(real):
    cost = CostModel(1.0, 0.1)
    queue = scheduler(cost=cost, max_batch=4)
    queue.put([Text("waits", 10, 0.0)])
    before = queue.wait_s()
    for _ in range(60):
        queue.done(Batch((Text("ran", 10), Text("ran", 8))), real * cost.seconds(2, 10))
    assert queue.wait_s() == pytest.approx(real * before, rel=0.01)


def test_one_run_says_little():
    cost = CostModel(1.0, 0.1)
    queue = scheduler(cost=cost)
    queue.put([Text("waits", 10)])
    before = queue.wait_s()
    queue.done(Batch((Text("ran", 10),)), 2 * cost.seconds(1, 10))
    assert queue.wait_s() == pytest.approx(1.1 * before)


def test_a_run_that_should_take_no_time_says_nothing():
    queue = scheduler(cost=CostModel(0.0, 1.0))
    queue.put([Text("waits", 10)])
    queue.done(Batch((Text("ran", 0),)), 5.0)
    assert queue.wait_s() == pytest.approx(10.0)


def test_another_cost_model_keeps_all_that_waits_and_its_order():
    queue = scheduler(cost=CostModel(1.0, 1.0), max_batch=1)
    queue.put([Text("b", 10, 2.0), Text("bulk", 10, 0.0, bulk=True), Text("a", 10, 1.0), Text("a too", 20, 1.0)])
    queue.done(Batch((Text("ran", 10),)), 1000.0)
    queue.use(CostModel(0.0, 0.5))
    assert len(queue) == 4
    assert queue.wait_s(2.0) == pytest.approx(20.0)  # what the machine's pace was belonged to the other model
    assert queue.wait_s(2.0, bulk=True) == pytest.approx(25.0)
    assert [queue.take(2.0).texts[0].payload for _ in range(4)] == ["a", "a too", "b", "bulk"]


def test_drop_gives_back_what_it_removed():
    queue = scheduler()
    queue.put([Text("a", 10), Text("b", 10, bulk=True), Text("c", 20)])
    assert {t.payload for t in queue.drop(lambda payload: payload != "a")} == {"b", "c"}
    assert len(queue) == 1
    assert [t.payload for t in queue.take().texts] == ["a"]
    assert queue.take() == Batch(())
