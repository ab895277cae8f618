"""What a batch is made of. Who comes when, and how long it takes: `test_scheduler_order`, `test_scheduler_wait`."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scheduling import BATCH, COSTS, LENGTHS, SHARE, padding_share, scheduler, texts_of, urgency

from luxe_serving.scheduling.cost import CostModel
from luxe_serving.scheduling.scheduler import Batch, Text

LAUNCH_BOUND = CostModel(per_run=1.0, per_token=1e-6)
WORK_BOUND = CostModel(per_run=1e-6, per_token=1.0)


def worth(cost, lengths):
    """Of a batch: the seconds that are the texts' own over those that it takes."""
    own = sum(cost.per_token * n + cost.per_pair * n * n for n in lengths)
    most = max(lengths)
    return own / (cost.per_run + len(lengths) * (cost.per_token * most + cost.per_pair * most * most))


def windows(lengths, seed, max_batch, share):
    """Every run of neighbours in length with the seed in it that is allowed."""
    for low in range(seed + 1):
        for high in range(seed + 1, len(lengths) + 1):
            if high - low <= max_batch and padding_share(lengths[low:high]) <= share:
                yield lengths[low:high]


def lengths_of(batch):
    return sorted(text.length for text in batch.texts)


@settings(max_examples=300, deadline=None)
@given(cost=COSTS, texts=texts_of(20, deadlines=st.just(math.inf)), max_batch=BATCH, share=SHARE)
def test_the_best_window_around_the_most_urgent_is_taken(cost, texts, max_batch, share):
    queue = scheduler(cost=cost, max_batch=max_batch, max_padding_share=share)
    queue.put(texts)
    by_length = sorted(range(len(texts)), key=lambda i: (texts[i].length, urgency(texts[i]), i))
    first = min(range(len(texts)), key=lambda i: (urgency(texts[i]), i))
    lengths = [texts[i].length for i in by_length]
    best = max(worth(cost, w) for w in windows(lengths, by_length.index(first), max_batch, share))
    batch = queue.take(0.0)
    assert texts[first] in batch.texts
    assert worth(cost, lengths_of(batch)) == pytest.approx(best, rel=1e-9)
    # What is neighbours in length has nobody in between who was left out.
    chosen = lengths_of(batch)
    left_out = [t.length for t in texts if t not in batch.texts]
    assert not any(chosen[0] < n < chosen[-1] for n in left_out)


@settings(max_examples=300, deadline=None)
@given(cost=COSTS, texts=texts_of(60), max_batch=BATCH, share=SHARE, now_s=st.floats(0, 20))
def test_bounds(cost, texts, max_batch, share, now_s):
    """With texts that are late among those that are chosen from."""
    queue = scheduler(cost=cost, max_batch=max_batch, max_padding_share=share)
    queue.put(texts)
    while len(queue):
        batch = queue.take(now_s)
        assert len(batch.texts) <= max_batch
        if batch.texts:
            assert padding_share([t.length for t in batch.texts]) <= share + 1e-9


@settings(max_examples=100, deadline=None)
@given(cost=COSTS, length=st.integers(1, 512), count=st.integers(1, 40), max_batch=BATCH, share=SHARE)
def test_equal_lengths_fill_the_batch(cost, length, count, max_batch, share):
    queue = scheduler(cost=cost, max_batch=max_batch, max_padding_share=share)
    queue.put(Text(i, length) for i in range(count))
    assert [t.payload for t in queue.take().texts] == list(range(min(count, max_batch)))


@settings(max_examples=100, deadline=None)
@given(lengths=LENGTHS, max_batch=BATCH)
def test_an_engine_that_only_launches_gets_full_batches(lengths, max_batch):
    queue = scheduler(cost=CostModel(1.0, 1e-12), max_batch=max_batch, max_padding_share=1.0)
    queue.put(Text(i, length) for i, length in enumerate(lengths))
    assert len(queue.take().texts) == min(len(lengths), max_batch)


def taken(lengths, **changes):
    """The lengths of the first batch, the first text being the most urgent."""
    queue = scheduler(**changes)
    queue.put(Text(i, length) for i, length in enumerate(lengths))
    return lengths_of(queue.take())


def test_neighbours_on_both_sides():
    assert taken([20, 80, 21, 5, 19, 20], max_batch=4, cost=LAUNCH_BOUND) == [19, 20, 20, 21]


def test_padding_that_costs_more_than_a_run_is_left_alone():
    assert taken([10, 20], max_padding_share=1.0, cost=WORK_BOUND) == [10]
    assert taken([10, 20], max_padding_share=1.0, cost=LAUNCH_BOUND) == [10, 20]
    # 10 of 14 seconds would be the text's own, and 30 of 44; then 10 of 16, and 30 of 46.
    assert taken([10, 20], max_padding_share=1.0, cost=CostModel(4.0, 1.0)) == [10]
    assert taken([10, 20], max_padding_share=1.0, cost=CostModel(6.0, 1.0)) == [10, 20]


def test_pairs_of_tokens_count():
    cost = CostModel(25.0, 1.0, 0.0)
    assert taken([10, 20], max_padding_share=1.0, cost=cost) == [10, 20]
    assert taken([10, 20], max_padding_share=1.0, cost=CostModel(25.0, 1.0, 1.0)) == [10]


def test_the_bound_bites():
    assert taken([10, 20], max_padding_share=0.25, cost=LAUNCH_BOUND) == [10, 20]  # 10 of 40
    assert taken([10, 20], max_padding_share=0.24, cost=LAUNCH_BOUND) == [10]


def test_a_bound_that_one_neighbour_breaks_another_may_keep():
    """A run too short for the bound may end at one that is large enough."""
    assert taken([20, 30, 30, 30], max_padding_share=0.1, cost=LAUNCH_BOUND) == [20, 30, 30, 30]  # 10 of 120
    assert taken([20, 30, 30], max_padding_share=0.1, cost=LAUNCH_BOUND) == [20]  # 10 of 90


def test_of_equals_the_larger_batch():
    assert taken([10] * 3, cost=CostModel(0.0, 1.0)) == [10] * 3


def test_texts_without_tokens_are_of_equal_length():
    """A tokenizer without special tokens makes none of a text that is only control characters."""
    assert taken([0, 0, 5], max_batch=2) == [0, 0]
    assert taken([0, 0], cost=CostModel(0.0, 1.0)) == [0, 0]


def test_a_batch_counts_its_tokens():
    batch = Batch((Text("a", 3), Text("b", 5), Text("c", 5)))
    assert (batch.length, batch.tokens, batch.padding) == (5, 13, 2)
    assert Batch(()).texts == Batch(()).late == ()


def test_padding_stays_within_its_bound_where_late_texts_fill_a_window():
    queue = scheduler(cost=LAUNCH_BOUND, max_batch=8, max_padding_share=0.12)
    queue.put([Text("first", 5, 0.0), *(Text(i, 10, 1.0, deadline_s=9.0) for i in range(6)), Text("long", 10, 2.0)])
    batch = queue.take(10.0)
    assert [t.payload for t in batch.texts] == ["first"]  # 5 of 20 tokens would be padding
    assert sorted(t.payload for t in batch.late) == list(range(6))
    assert [t.payload for t in queue.take(10.0).texts] == ["long"]
