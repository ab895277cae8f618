import collections
import threading

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from luxe_serving.scheduler import MicroBatcher, select

WAIT_S = 20.0
LENGTHS = st.lists(st.integers(1, 512), min_size=1, max_size=60)
CLOSE_LENGTHS = st.lists(st.integers(20, 30), min_size=1, max_size=60)
BATCH = st.integers(1, 16)
SHARE = st.floats(0, 1)


def padding_share(lengths):
    """Padded tokens over all tokens, counted token by token."""
    width = max(lengths)
    padded = sum(width - length for length in lengths)
    return padded / sum(width for _ in lengths)


@settings(max_examples=300, deadline=None)
@given(lengths=LENGTHS | CLOSE_LENGTHS, max_batch=BATCH, share=SHARE)
def test_select(lengths, max_batch, share):
    chosen = select(lengths, max_batch=max_batch, max_padding_share=share)
    assert chosen[0] == 0
    assert chosen == sorted(set(chosen))
    assert set(chosen) <= set(range(len(lengths)))
    assert 1 <= len(chosen) <= max_batch
    assert padding_share([lengths[i] for i in chosen]) <= share + 1e-9


@settings(max_examples=100, deadline=None)
@given(length=st.integers(1, 512), count=st.integers(1, 40), max_batch=BATCH, share=SHARE)
def test_equal_lengths_fill_the_batch(length, count, max_batch, share):
    chosen = select([length] * count, max_batch=max_batch, max_padding_share=share)
    assert len(chosen) == min(count, max_batch)


@settings(max_examples=100, deadline=None)
@given(lengths=LENGTHS, max_batch=BATCH, share=SHARE)
def test_the_seeds_equals_come_first(lengths, max_batch, share):
    chosen = select(lengths, max_batch=max_batch, max_padding_share=share)
    equals = [i for i, length in enumerate(lengths) if length == lengths[0]]
    assert len(set(chosen) & set(equals)) == min(len(equals), max_batch)


@settings(max_examples=100, deadline=None)
@given(lengths=LENGTHS, max_batch=BATCH)
def test_any_padding_fills_the_batch(lengths, max_batch):
    assert len(select(lengths, max_batch=max_batch, max_padding_share=1.0)) == min(len(lengths), max_batch)


@settings(max_examples=100, deadline=None)
@given(lengths=LENGTHS, share=st.floats(0, 0.99))
def test_a_lone_choice_means_that_nobody_fits(lengths, share):
    chosen = select(lengths, max_batch=8, max_padding_share=share)
    if chosen == [0]:
        assert all(padding_share([lengths[0], other]) > share - 1e-9 for other in lengths[1:])


def test_neighbours_on_both_sides():
    assert select([20, 80, 21, 5, 19, 20], max_batch=4, max_padding_share=0.12) == [0, 2, 4, 5]


def test_the_nearest_come_first():
    assert select([20, 30, 12, 21, 50], max_batch=2, max_padding_share=1.0) == [0, 3]
    assert select([20, 30, 19, 45, 50], max_batch=2, max_padding_share=1.0) == [0, 2]
    assert select([20, 30, 12, 21, 50], max_batch=4, max_padding_share=1.0) == [0, 1, 2, 3]


def test_the_bound_bites():
    assert select([10, 20], max_batch=8, max_padding_share=0.25) == [0, 1]  # 10 of 40
    assert select([10, 20], max_batch=8, max_padding_share=0.24) == [0]


def test_one_side_may_close_while_the_other_still_fits():
    # 50 is too long for 20; 18 and 17 are not too short.
    assert select([20, 50, 18, 17], max_batch=8, max_padding_share=0.12) == [0, 2, 3]
    assert select([20, 5, 22, 23], max_batch=8, max_padding_share=0.12) == [0, 2, 3]


def test_texts_without_tokens_are_of_equal_length():
    """A tokenizer without special tokens makes none of a text that is only control characters."""
    assert select([0, 0, 5], max_batch=2, max_padding_share=0.12) == [0, 1]


def batcher(**changes):
    return MicroBatcher(**{"max_batch": 4, "max_padding_share": 0.12, "capacity": 64, **changes})


def in_thread(function):
    """Run a function in a thread; returns the thread and a list that gets what it gave or raised."""
    results = []

    def run():
        try:
            results.append(function())
        except Exception as error:
            results.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, results


# A failure here is one that hangs: it is not made smaller, which would hang again and again.
@settings(max_examples=25, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(
    lengths=st.lists(st.lists(st.integers(1, 100), max_size=40), min_size=1, max_size=4),
    takers=st.integers(1, 3),
    capacity=st.integers(1, 20),
    max_batch=BATCH,
)
def test_nothing_is_lost_and_nothing_comes_twice(lengths, takers, capacity, max_batch):
    queue = batcher(capacity=capacity, max_batch=max_batch)
    putters = [
        in_thread(lambda p=p, own=own: [queue.put([(n, (p, i, n))]) for i, n in enumerate(own)])
        for p, own in enumerate(lengths)
    ]

    def drain():
        taken = []
        while (batch := queue.take()) is not None:
            taken.append(batch)
        return taken

    drains = [in_thread(drain) for _ in range(takers)]
    for thread, _ in putters:
        thread.join(WAIT_S)
    queue.close()
    for thread, _ in drains:
        thread.join(WAIT_S)
    assert not any(thread.is_alive() for thread, _ in [*putters, *drains])
    assert not any(isinstance(result, Exception) for _, results in putters for result in results)
    batches = [batch for _, (taken,) in drains for batch in taken]
    assert all(1 <= len(batch) <= max_batch for batch in batches)
    assert all(padding_share([n for _, _, n in batch]) <= 0.12 + 1e-9 for batch in batches)
    given_out = collections.Counter(item for batch in batches for item in batch)
    assert given_out == collections.Counter((p, i, n) for p, own in enumerate(lengths) for i, n in enumerate(own))


@settings(max_examples=100, deadline=None)
@given(lengths=LENGTHS, max_batch=BATCH)
def test_the_oldest_is_always_in_the_next_take(lengths, max_batch):
    queue = batcher(capacity=1000, max_batch=max_batch)
    queue.put((length, i) for i, length in enumerate(lengths))
    waiting = set(range(len(lengths)))
    while waiting:
        batch = queue.take()
        assert min(waiting) in batch
        waiting -= set(batch)


def test_payloads_keep_their_lengths():
    queue = batcher()
    queue.put([(10, "a"), (50, "b"), (11, "c")])
    assert queue.take() == ["a", "c"]
    assert queue.take() == ["b"]


def test_items_put_together_stay_together():
    queue = batcher(capacity=1, max_batch=8)
    queue.put([(10, i) for i in range(5)])  # more than the capacity, and yet all of them
    assert queue.take() == [0, 1, 2, 3, 4]


def test_put_blocks_at_capacity_and_unblocks():
    queue = batcher(capacity=2, max_batch=1)
    queue.put([(10, "a")])
    queue.put([(10, "b")])
    thread, results = in_thread(lambda: queue.put([(10, "c")]))
    thread.join(0.3)
    assert thread.is_alive()  # full
    assert queue.take() == ["a"]
    thread.join(WAIT_S)
    assert results == [None]
    assert [queue.take(), queue.take()] == [["b"], ["c"]]


def test_take_blocks_while_nothing_waits():
    queue = batcher()
    thread, results = in_thread(queue.take)
    thread.join(0.3)
    assert thread.is_alive()
    queue.put([(10, "a")])
    thread.join(WAIT_S)
    assert results == [["a"]]


def test_close_gives_out_what_waits_and_then_none():
    queue = batcher(max_batch=1)
    queue.put([(10, "a"), (90, "b")])
    queue.close()
    assert [queue.take() for _ in range(4)] == [["a"], ["b"], None, None]


def test_close_wakes_every_waiting_take():
    queue = batcher()
    takes = [in_thread(queue.take) for _ in range(3)]
    queue.close()
    for thread, results in takes:
        thread.join(WAIT_S)
        assert results == [None]


def test_put_after_close():
    queue = batcher()
    queue.close()
    with pytest.raises(RuntimeError, match="closed"):
        queue.put([(10, "a")])
    assert queue.take() is None


def test_close_wakes_a_blocked_put():
    queue = batcher(capacity=1)
    queue.put([(10, "a")])
    thread, results = in_thread(lambda: queue.put([(10, "b")]))
    thread.join(0.2)
    assert thread.is_alive()
    queue.close()
    thread.join(WAIT_S)
    assert [type(result) for result in results] == [RuntimeError]
    assert [queue.take(), queue.take()] == [["a"], None]
