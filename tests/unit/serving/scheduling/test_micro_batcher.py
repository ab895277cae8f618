import collections
import threading

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from scheduling import BATCH, padding_share, scheduler
from text_models import WAIT_S

from luxe_serving.scheduling.cost import CostModel
from luxe_serving.scheduling.micro_batcher import MicroBatcher
from luxe_serving.scheduling.scheduler import Batch, Text


def batcher(*, capacity=64, clock=lambda: 0.0, **changes):
    return MicroBatcher(scheduler(**{"max_batch": 4, **changes}), capacity=capacity, clock=clock)


def put(queue, *payloads, length=10, **fields):
    queue.put([Text(payload, length, **fields) for payload in payloads])


def taken(queue):
    batch = queue.take()
    return batch and [text.payload for text in batch.texts]


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
    rows=st.lists(st.lists(st.tuples(st.integers(1, 100), st.booleans()), max_size=40), min_size=1, max_size=4),
    takers=st.integers(1, 3),
    capacity=st.integers(1, 20),
    max_batch=BATCH,
)
def test_nothing_is_lost_and_nothing_comes_twice(rows, takers, capacity, max_batch):
    """Half of the texts are late from the start."""
    queue = batcher(capacity=capacity, max_batch=max_batch, clock=lambda: 5.0)
    texts = [
        [Text((p, i), length, deadline_s=1.0 if late else 100.0) for i, (length, late) in enumerate(own)]
        for p, own in enumerate(rows)
    ]
    putters = [in_thread(lambda own=own: [queue.put([text]) for text in own]) for own in texts]

    def drain():
        batches = []
        while (batch := queue.take()) is not None:
            batches.append(batch)
        return batches

    drains = [in_thread(drain) for _ in range(takers)]
    for thread, _ in putters:
        thread.join(WAIT_S)
    queue.close()
    for thread, _ in drains:
        thread.join(WAIT_S)
    assert not any(thread.is_alive() for thread, _ in [*putters, *drains])
    assert not any(isinstance(result, Exception) for _, results in putters for result in results)
    batches = [batch for _, (of_thread,) in drains for batch in of_thread]
    assert all(len(batch.texts) <= max_batch and (batch.texts or batch.late) for batch in batches)
    assert all(padding_share([t.length for t in b.texts]) <= 0.12 + 1e-9 for b in batches if b.texts)
    expected = [text for own in texts for text in own]
    run = collections.Counter(text.payload for batch in batches for text in batch.texts)
    late = collections.Counter(text.payload for batch in batches for text in batch.late)
    assert run == collections.Counter(text.payload for text in expected if text.deadline_s > 5.0)
    assert late == collections.Counter(text.payload for text in expected if text.deadline_s < 5.0)


def test_the_clock_decides_who_is_late():
    now_s = [0.0]
    queue = batcher(clock=lambda: now_s[0])
    put(queue, "a", deadline_s=10.0)
    put(queue, "b", deadline_s=30.0)
    now_s[0] = 20.0
    batch = queue.take()
    assert [t.payload for t in batch.late] == ["a"]
    assert [t.payload for t in batch.texts] == ["b"]
    put(queue, "c", deadline_s=10.0)
    assert queue.take() == Batch((), (Text("c", 10, 0.0, 10.0),))  # a worker must hear of them


def test_waits_are_the_schedulers():
    now_s = [0.0]
    queue = batcher(cost=CostModel(0.0, 1.0), clock=lambda: now_s[0])
    put(queue, "a", length=10)
    put(queue, "b", length=20, bulk=True)
    assert (queue.wait_s(), queue.wait_s(bulk=True)) == (10.0, 30.0)
    now_s[0] = 100.0  # the bulk text was patient
    assert queue.wait_s() == 30.0
    queue.done(Batch((Text("ran", 10),)), 20.0)
    assert queue.wait_s() == pytest.approx(33.0)
    queue.use(CostModel(0.0, 2.0))
    assert queue.wait_s() == 60.0
    queue.drop(lambda payload: payload == "a")
    assert queue.wait_s() == 40.0


def test_items_put_together_stay_together():
    queue = batcher(capacity=1, max_batch=8)
    put(queue, *range(5))  # more than the capacity, and yet all of them
    assert taken(queue) == [0, 1, 2, 3, 4]


def test_put_blocks_at_capacity_and_unblocks():
    queue = batcher(capacity=2, max_batch=1)
    put(queue, "a")
    put(queue, "b")
    thread, results = in_thread(lambda: put(queue, "c"))
    thread.join(0.3)
    assert thread.is_alive()  # full
    assert taken(queue) == ["a"]
    thread.join(WAIT_S)
    assert results == [None]
    assert [taken(queue), taken(queue)] == [["b"], ["c"]]


def test_drop_makes_room():
    queue = batcher(capacity=1)
    put(queue, "a")
    thread, results = in_thread(lambda: put(queue, "b"))
    thread.join(0.2)
    assert thread.is_alive()
    queue.drop(lambda payload: payload == "a")
    thread.join(WAIT_S)
    assert results == [None]
    assert taken(queue) == ["b"]


def test_take_blocks_while_nothing_waits():
    queue = batcher()
    thread, results = in_thread(lambda: taken(queue))
    thread.join(0.3)
    assert thread.is_alive()
    put(queue, "a")
    thread.join(WAIT_S)
    assert results == [["a"]]


def test_close_gives_out_what_waits_and_then_none():
    queue = batcher(max_batch=1)
    put(queue, "a")
    put(queue, "b", length=90)
    put(queue, "late", deadline_s=-1.0)
    queue.close()
    assert [taken(queue) for _ in range(5)] == [["a"], ["b"], [], None, None]


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
        put(queue, "a")
    assert queue.take() is None


def test_close_wakes_a_blocked_put():
    queue = batcher(capacity=1)
    put(queue, "a")
    thread, results = in_thread(lambda: put(queue, "b"))
    thread.join(0.2)
    assert thread.is_alive()
    queue.close()
    thread.join(WAIT_S)
    assert [type(result) for result in results] == [RuntimeError]
    assert [taken(queue), taken(queue)] == [["a"], None]


def test_lingering_ends_when_few_wait():
    queue = batcher()
    queue.put([Text(i, 10) for i in range(6)])
    thread, ended = in_thread(lambda: queue.linger(3, WAIT_S))
    thread.join(0.2)
    assert not ended
    while not ended:
        assert queue.take().texts
        thread.join(0.2)
    assert ended == [None]


def test_lingering_ends_at_once_when_closed_or_idle_and_by_itself():
    def lingers(enough, longest_s):
        thread, ended = in_thread(lambda: queue.linger(enough, longest_s))
        thread.join(WAIT_S)
        assert ended == [None]

    queue = batcher()
    lingers(1, 1000 * WAIT_S)  # nothing waits
    queue.put([Text(i, 10) for i in range(6)])
    lingers(3, 0.05)
    queue.close()
    lingers(3, 1000 * WAIT_S)
