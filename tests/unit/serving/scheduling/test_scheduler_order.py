"""Who is taken when, and who is refused."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st
from scheduling import BATCH, COSTS, LENGTH, PATIENCE_S, SHARE, scheduler, texts_of, urgency

from luxe_serving.scheduling.cost import CostModel
from luxe_serving.scheduling.scheduler import Batch, Text

MANY = settings(max_examples=200, deadline=None)
NO_DEADLINE = st.just(math.inf)
FREE = CostModel(0.0, 1e-9)


def payloads(batch):
    return [text.payload for text in batch.texts]


@MANY
@given(cost=COSTS, texts=texts_of(60), max_batch=BATCH, share=SHARE, now_s=st.floats(0, 20))
def test_every_text_comes_once(cost, texts, max_batch, share, now_s):
    queue = scheduler(cost=cost, max_batch=max_batch, max_padding_share=share)
    queue.put(texts)
    given_out = []
    while len(queue):
        before = len(queue)
        batch = queue.take(now_s)
        given_out += [*batch.texts, *batch.late]
        assert len(queue) == before - len(batch.texts) - len(batch.late) < before
    assert sorted(t.payload for t in given_out) == [t.payload for t in texts]
    assert queue.take(now_s) == Batch(())


@MANY
@given(texts=texts_of(60, deadlines=NO_DEADLINE), max_batch=BATCH, share=SHARE, cost=COSTS)
def test_the_most_urgent_is_always_in_the_next_batch(texts, max_batch, share, cost):
    queue = scheduler(cost=cost, max_batch=max_batch, max_padding_share=share)
    queue.put(texts)
    waiting = list(texts)
    while waiting:
        first = min(waiting, key=lambda t: (urgency(t), t.payload))
        batch = queue.take()
        assert first in batch.texts
        waiting = [t for t in waiting if t not in batch.texts]


@MANY
@given(texts=texts_of(60), now_s=st.floats(0, 20), cost=COSTS, pace=st.floats(0.9, 1.9), max_batch=BATCH, share=SHARE)
def test_late_is_who_could_not_be_answered_any_more(texts, now_s, cost, pace, max_batch, share):
    queue = scheduler(cost=cost, max_batch=max_batch, max_padding_share=share)
    queue.done(Batch((Text(None, 10),)), cost.seconds(1, 10) * (1 + 10 * (pace - 1)))  # one run counts for a tenth
    queue.put(texts)

    def answered_s(text):
        return now_s + pace * cost.seconds(1, text.length)

    while len(queue):
        batch = queue.take(now_s)
        assert all(answered_s(text) <= text.deadline_s * (1 + 1e-9) + 1e-9 for text in batch.texts)
        assert all(answered_s(text) > text.deadline_s * (1 - 1e-9) - 1e-9 for text in batch.late)
        if not batch.texts:
            assert not len(queue)  # who is late is never given out alone while somebody is in time


def test_the_deadline_itself_is_in_time():
    queue = scheduler(cost=CostModel(1.0, 0.5))
    queue.put([Text("a", 2, 0.0, deadline_s=12.0)])
    assert payloads(queue.take(10.0)) == ["a"]
    queue.put([Text("b", 2, 0.0, deadline_s=12.0)])
    assert [t.payload for t in queue.take(10.01).late] == ["b"]


@settings(max_examples=100, deadline=None)
@given(
    texts=texts_of(20, deadlines=NO_DEADLINE),
    later=st.lists(st.lists(st.tuples(LENGTH, st.booleans()), max_size=4), min_size=20, max_size=20),
    max_batch=BATCH,
    share=SHARE,
    cost=COSTS,
)
def test_waiting_is_bounded_for_every_length(texts, later, max_batch, share, cost):
    """Whatever comes later, a text that k others are ahead of is taken by the k+1st take."""
    queue = scheduler(cost=cost, max_batch=max_batch, max_padding_share=share)
    queue.put(texts)
    # All that comes later comes when nobody's patience counts any more.
    now_s = 20.0 + PATIENCE_S
    in_order = sorted(texts, key=lambda t: (urgency(t), t.payload))
    for takes, rows in zip(range(1, len(texts) + 1), later, strict=False):
        taken = set(payloads(queue.take(now_s)))
        in_order = [t for t in in_order if t.payload not in taken]
        bound = {t.payload for t in sorted(texts, key=lambda t: (urgency(t), t.payload))[:takes]}
        assert not bound & {t.payload for t in in_order}
        queue.put(Text(("later", takes, i), length, now_s, bulk=bulk) for i, (length, bulk) in enumerate(rows))


@MANY
@given(
    texts=texts_of(40, deadlines=NO_DEADLINE),
    share=SHARE,
    cost=COSTS,
)
def test_one_by_one_the_order_is_that_of_urgency(texts, share, cost):
    """Bulk after the interactive ones of the next seconds, and before those that come later still."""
    queue = scheduler(cost=cost, max_batch=1, max_padding_share=share)
    queue.put(texts)
    order = [queue.take().texts[0] for _ in texts]
    assert order == sorted(texts, key=lambda t: (urgency(t), t.payload))
    for i, text in enumerate(order):
        for after in order[i + 1 :]:
            if text.bulk and not after.bulk:
                assert text.arrived_s + PATIENCE_S <= after.arrived_s
            if after.bulk and not text.bulk:
                assert text.arrived_s <= after.arrived_s + PATIENCE_S
            if after.bulk == text.bulk:
                assert text.arrived_s <= after.arrived_s


def test_interactive_overtakes_bulk_but_not_for_ever():
    queue = scheduler(cost=FREE, max_batch=1)
    queue.put([Text("bulk", 10, 0.0, bulk=True)])
    order = []
    for second in range(1, 9):
        queue.put([Text(second, 10, float(second))])
        order += payloads(queue.take(float(second)))
    assert order == [1, 2, 3, 4, "bulk", 5, 6, 7]


def test_bulk_fills_the_batch_of_an_interactive_text():
    queue = scheduler(cost=CostModel(1.0, 1e-6), max_batch=4)
    queue.put([*(Text(i, 10, 0.0, bulk=True) for i in range(5)), Text("now", 10, 1.0)])
    first = payloads(queue.take(1.0))
    assert "now" in first
    assert len(first) == 4


def test_who_came_first_is_first_among_the_same_moment():
    queue = scheduler(max_batch=1)
    queue.put([Text("a", 30), Text("b", 10)])
    queue.put([Text("c", 20)])
    assert [payloads(queue.take()) for _ in range(3)] == [["a"], ["b"], ["c"]]


def test_what_is_late_does_not_take_the_place_of_others():
    queue = scheduler(cost=FREE, max_batch=2)
    queue.put([Text("late", 10, 0.0, deadline_s=1.0), Text("a", 10, 0.5), Text("late too", 10, 0.6, deadline_s=1.0)])
    queue.put([Text("b", 10, 0.7)])
    batch = queue.take(2.0)
    assert payloads(batch) == ["a", "b"]
    assert {t.payload for t in batch.late} == {"late", "late too"}


def test_one_slow_run_does_not_refuse_for_ever():
    """Say the machine was suspended: what is predicted then is far too much, and only a run can tell."""
    queue = scheduler(cost=CostModel(1e-3, 1e-4))
    queue.done(Batch((Text(None, 10),)), 20.0)
    ran = []
    for second in range(100, 300):
        queue.put([Text(second, 10, float(second), second + 1.0)])
        if batch := queue.take(float(second)).texts:
            queue.done(Batch(batch), 2e-3)
            ran.append(second)
    assert ran[-50:] == list(range(250, 300))


def test_a_cost_model_that_is_far_too_dear_does_not_refuse_for_ever():
    queue = scheduler(cost=CostModel(10.0, 1.0))
    ran = []
    for second in range(100, 300):
        queue.put([Text(second, 10, float(second), second + 1.0)])
        if batch := queue.take(float(second)).texts:
            queue.done(Batch(batch), 2e-3)
            ran.append(second)
    assert ran[-50:] == list(range(250, 300))
