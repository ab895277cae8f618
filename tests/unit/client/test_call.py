"""One request's way, with a clock that only a test moves: no server, no thread, no sleep."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import BUSY, CLOSED, GONE, SICK, STUCK, S, World, by_replica

from luxe_client import (
    DeadlineExceeded,
    Hedge,
    InvalidInput,
    LuxeError,
    ModelNotFound,
    Overloaded,
    Retry,
    ServerError,
    Unavailable,
)


def test_one_try_is_enough():
    world = World(by_replica())
    assert world.call() == ("answer", world.sent[0])
    (record,) = world.records
    assert (record.tries, record.outcome, record.replica) == (1, "ok", world.sent[0])
    assert record.seconds == pytest.approx(0.01)


def test_another_replica_at_once():
    world = World(by_replica(a=(0.01, *GONE), b=(0.01, *GONE)))
    for _ in range(20):
        assert world.call()[1] == "c:1"
    assert all(record.seconds < 0.05 for record in world.records)
    assert len(world.sent) == 22, "each of the two was left after it failed"


def test_the_same_replica_after_a_wait_where_there_is_no_other():
    world = World(lambda _a, _now, number: (0.0, *GONE) if number < 3 else (0.0, "ok"), 1)
    assert world.call()[0] == "answer"
    assert 1000 < world.now <= 1000.06
    assert world.records[0].tries == 3


def test_all_tries_fail():
    world = World(by_replica(a=(0.1, *GONE), b=(0.1, *GONE), c=(0.1, *GONE)))
    with pytest.raises(Unavailable, match=r"\(3 tries in 0\.3. s\)") as caught:
        world.call()
    assert (caught.value.tries, caught.value.replica) == (3, world.sent[-1])
    assert caught.value.elapsed_s == pytest.approx(0.3, abs=0.03)
    assert sorted(world.sent) == ["a:1", "b:1", "c:1"]
    assert world.records[0].outcome == "Unavailable"


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ((S.INVALID_ARGUMENT, "no"), InvalidInput),
        ((S.INTERNAL, "broken"), ServerError),
        ((S.DEADLINE_EXCEEDED, ""), DeadlineExceeded),
        ((S.UNAVAILABLE, "expired: late"), DeadlineExceeded),
        ((S.NOT_FOUND, "is not found"), ModelNotFound),
        ((S.UNAUTHENTICATED, ""), LuxeError),
    ],
)
def test_what_is_never_tried_again(told, kind):
    world = World(lambda *_: (0.0, *told))
    with pytest.raises(kind):
        world.call()
    assert len(world.sent) == 1


def test_a_model_that_was_there_is_looked_for_elsewhere():
    world = World(lambda _a, _now, number: (0.0, S.NOT_FOUND, "is not found") if number == 4 else (0.0, "ok"))
    for _ in range(4):
        world.call()
    assert world.records[-1].tries == 2


def test_a_sick_model_is_asked_elsewhere():
    world = World(by_replica(a=(0.0, *SICK)))
    assert {world.call()[1] for _ in range(9)} == {"b:1", "c:1"}
    assert world.sent.count("a:1") == 1


def test_an_overloaded_replica_is_not_asked_again():
    world = World(lambda *_: (0.0, *BUSY), 1)
    with pytest.raises(Overloaded):
        world.call()
    assert len(world.sent) == 1


def test_an_overloaded_replica_sends_the_caller_elsewhere():
    world = World(by_replica(a=(0.0, *BUSY)))
    assert all(world.call()[0] == "answer" for _ in range(3))


@pytest.mark.parametrize(("push_back", "tries"), [("500", 2), ("-1", 1), ("soon", 1), ("9000", 1)])
def test_the_servers_push_back_is_respected(push_back, tries):
    answers = [(0.0, S.RESOURCE_EXHAUSTED, "", push_back), (0.0, "ok")]
    world = World(lambda _a, _now, number: answers[number - 1], 1)
    if tries == 1:
        with pytest.raises(Overloaded):
            world.call()
        assert world.now == 1000.0
    else:
        world.call()
        assert world.now == 1000.5
    assert len(world.sent) == tries


def test_the_deadline_is_one_for_all_tries():
    world = World(lambda *_: (0.4, *GONE), retry=Retry(tries=10), replicas=1)
    with pytest.raises(LuxeError):
        world.call(timeout_s=1.0)
    assert world.now <= 1001.0
    assert len(world.sent) <= 3


def test_no_answer_is_the_deadline_error_and_not_tried_again():
    world = World(lambda *_: STUCK, 1)
    with pytest.raises(DeadlineExceeded, match="no answer before the deadline") as caught:
        world.call(timeout_s=0.5)
    assert (caught.value.tries, caught.value.elapsed_s) == (1, 0.5)


def test_never_again_means_never():
    world = World(by_replica(a=(0.0, *GONE), b=(0.0, *GONE), c=(0.0, *GONE)), retry=Retry(tries=1))
    with pytest.raises(Unavailable):
        world.call()
    assert len(world.sent) == 1


def test_a_replica_that_falls_silent_loses_its_requests_to_others():
    world = World(by_replica(a=STUCK), stall_s=0.5)
    for _ in range(30):
        assert world.call()[0] == "answer"
    slow = [record for record in world.records if record.seconds > 0.1]
    assert [(record.tries, round(record.seconds, 2)) for record in slow] == [(2, 0.51)]
    assert world.sent.count("a:1") == 1


def test_a_slow_request_on_a_replica_that_answers_others_stays_there():
    world = World(lambda *_: (2.0, "ok"), stall_s=0.5)
    for replica in world.policy.pool.replicas:
        replica._heard = 2000.0  # all the time
    world.call()
    assert len(world.sent) == 1


def test_a_hedge_is_answered_by_the_faster():
    slow = itertools.count()
    world = World(lambda *_: (2.0 if next(slow) == 64 else 0.01, "ok"), hedge=Hedge())
    for _ in range(65):
        world.call()
    assert world.records[-1].tries == 2
    assert world.records[-1].seconds == pytest.approx(0.021)
    assert len(set(world.sent[-2:])) == 2
    assert all(record.tries == 1 for record in world.records[:-1])


def test_without_a_hedge_nobody_asks_twice():
    slow = itertools.count()
    world = World(lambda *_: (0.9 if next(slow) == 64 else 0.01, "ok"))
    for _ in range(65):
        world.call()
    assert len(world.sent) == 65


def test_hedges_stay_in_their_budget():
    chance = random.Random(3).random
    world = World(lambda *_: (0.9 if chance() < 0.4 else 0.01 * chance(), "ok"), hedge=Hedge(quantile=0.5), stall_s=60)
    for _ in range(2000):
        world.call()
    assert 2000 * 0.05 * 0.9 < len(world.sent) - 2000 <= 2000 * 0.05 + 10


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.floats(0, 1), st.integers(1, 4))
def test_whatever_happens_load_and_deadline_hold(seed, share, replicas):
    """Replicas fail, stall and refuse at random: no call outlasts its deadline, and retries stay in their budget."""
    draw = random.Random(seed)
    kinds = [
        CLOSED,
        BUSY,
        SICK,
        (S.INTERNAL, "broken"),
        (S.NOT_FOUND, "is not found"),
        (S.RESOURCE_EXHAUSTED, "", "30"),
    ]

    def behave(*_):
        if draw.random() >= share:
            return (draw.random() * 0.1, "ok")
        told = draw.choice([*kinds, STUCK])
        return told and (draw.random() * 0.3, *told)

    world = World(behave, replicas, hedge=Hedge(), stall_s=0.3, eject_s=0.25, seed=seed)
    start = world.now
    for _ in range(150):
        began = world.now
        try:
            world.call(timeout_s=1.0)
        except LuxeError as error:
            assert error.elapsed_s <= 1.0 + 1e-6
            assert error.tries <= 6 + replicas
        assert world.now - began <= 1.0 + 1e-6
        world.now += 0.01
    assert len(world.sent) - world.copies <= 150 * 1.15 + 20 + 10
    assert max(len(world.questions), world.copies) <= replicas * (1 + (world.now - start) / 0.25)
    assert len(world.records) == 150
    assert sum(record.tries for record in world.records) == len(world.sent)


def test_a_replica_that_dies_costs_no_call_and_few_tries():
    """1,000 calls, one of three replicas gone for 200 of them."""
    world = World(lambda a, now, _n: (0.001, *GONE) if a == "b:1" and 1003 < now < 1007 else (0.01, "ok"))
    for _ in range(1000):
        world.call()
        world.now += 0.01
    assert all(record.outcome == "ok" for record in world.records)
    assert len(world.sent) <= 1010
    assert world.sent[-100:].count("b:1") > 20, "and it came back"


def test_no_caller_waits_for_a_replica_that_is_probed():
    """It is back, but its first answer takes long: that is to a copy, and the call is answered by another."""
    world = World(by_replica(a=(0.001, *GONE)), eject_s=0.25, stall_s=0.5)
    for _ in range(3):
        world.call()
    slow = iter([0.01, 0.4])
    world._behave = lambda address, *_: (next(slow, 0.01) if address == "a:1" else 0.01, "ok")
    world.now += 1.0
    before = len(world.records)
    assert "a:1" in {world.call()[1] for _ in range(10)}
    assert all(record.seconds < 0.02 for record in world.records[before:])
    assert (len(world.questions), world.copies) == (1, 1)
    assert sum(record.tries - 1 for record in world.records[before:]) == 1


def test_a_probe_that_fails_costs_no_call_and_no_retry():
    world = World(by_replica(a=(0.001, *CLOSED)), eject_s=0.25)
    for _ in range(3):
        world.call()
    left = world.policy.retries._tokens
    for _ in range(200):
        assert world.call()[0] == "answer"
        world.now += 0.5
    assert len(world.questions) >= 10
    assert world.policy.retries._tokens > left
    assert world.sent.count("a:1") == 1
    assert sum(record.tries for record in world.records) == 204


def test_a_client_that_never_tries_again_sends_no_copies():
    world = World(by_replica(a=(0.001, *GONE)), retry=Retry(tries=1), eject_s=0.25)
    with pytest.raises(Unavailable):
        for _ in range(3):
            world.call()
    world._behave = by_replica()
    for _ in range(30):
        world.call()
        world.now += 0.1
    assert world.copies == 0
    assert world.sent[-9:].count("a:1") == 3, "and yet it came back"


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ((0.0, S.UNIMPLEMENTED, "no such method"), True),
        ((0.0, S.PERMISSION_DENIED, ""), True),
        ((0.0, S.NOT_FOUND, "has no available versions"), False),
        ((0.0, S.UNAVAILABLE, "unknown model"), False),
        ((0.0, *GONE), False),
    ],
)
def test_what_is_made_of_a_server_that_does_not_say_whether_it_is_ready(said, asked):
    """Where it may well be, a copy is sent."""
    world = World(by_replica(a=(0.001, *GONE)), eject_s=0.25)
    for _ in range(3):
        world.call()
    world._behave = by_replica(a=said)
    world.now += 1.0
    for _ in range(3):
        world.call()
    assert bool(world.copies) is asked
