"""Several servers on real connections: none of what happens to one is a failed call."""

import contextlib
import itertools
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from colours import WAIT_S, colours

from luxe_client import Balancing, Hedge, LuxeError, Overloaded, Retry
from luxe_client.testing import FakeTriton


@pytest.fixture
def three():
    with contextlib.ExitStack() as stack:
        yield [colours(stack.enter_context(FakeTriton())) for _ in range(3)]


@pytest.fixture
def fleet(three, make):
    return make([one.address for one in three], timeout_s=15.0, balancing=Balancing(eject_s=0.1, stall_s=10.0))


def asked(three):
    return [len(one.requests) for one in three]


def test_each_gets_its_share(fleet, three):
    for _ in range(30):
        fleet.classify("colours", "red")
    assert asked(three) == [10, 10, 10]


def test_one_that_is_gone_and_comes_back(fleet, three):
    for _ in range(6):
        fleet.classify("colours", "red")
    three[1].stop()
    for _ in range(30):
        fleet.classify("colours", "red")
    three[1].start()
    before = asked(three)[1]
    deadline = time.monotonic() + WAIT_S
    while asked(three)[1] < before + 5:
        fleet.classify("colours", "red")
        assert time.monotonic() < deadline, "it was not found again"


def test_one_that_stops_in_the_middle_of_many_calls(fleet, three):
    over = threading.Event()

    def call(_number):
        calls = 0
        while not over.is_set():
            fleet.classify("colours", "red")
            calls += 1
        return calls

    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(call, number) for number in range(8)]
        try:
            for one in three[:2]:
                time.sleep(0.2)
                one.stop()
                time.sleep(0.2)
                one.start()
                time.sleep(0.6)
        finally:
            over.set()
        assert all(call.result() > 10 for call in calls)


def test_a_model_that_is_taken_away_from_one(fleet, three):
    for _ in range(3):
        fleet.classify("colours", "red")
    three[0].remove("colours")
    for _ in range(12):
        fleet.classify("colours", "red")
    assert asked(three)[0] == 2, "asked once in vain, and then left alone"


def test_one_that_is_paused(three, make):
    client = make([one.address for one in three], timeout_s=15.0, balancing=Balancing(stall_s=0.3))
    for _ in range(3):
        client.classify("colours", "red")
    three[2].hang()
    for _ in range(12):
        client.classify("colours", "red")
    assert asked(three)[2] == 2
    three[2].recover()


def test_a_slow_one_is_hedged(three, make):
    client = make([one.address for one in three], timeout_s=15.0, hedge=Hedge(), balancing=Balancing(stall_s=30.0))
    for _ in range(64):
        client.classify("colours", "red")
    three[0].hang()
    for _ in range(3):
        client.classify("colours", "red")
    three[0].recover()


def test_what_an_overloaded_one_refuses_another_answers(fleet, three):
    three[0].fail(grpc.StatusCode.RESOURCE_EXHAUSTED, push_back_ms=60_000)
    for _ in range(12):
        fleet.classify("colours", "red")
    assert asked(three)[0] == 1


def test_all_overloaded(fleet, three):
    for one in three:
        one.fail(grpc.StatusCode.UNAVAILABLE, "overloaded: later")
    with pytest.raises(Overloaded) as caught:
        fleet.classify("colours", "red")
    assert caught.value.tries == 3
    assert asked(three) == [1, 1, 1]


def test_retries_may_be_refused(three, make):
    client = make([one.address for one in three], timeout_s=15.0, retry=None)
    three[0].stop()
    outcomes = Counter()
    for _ in range(3):
        try:
            client.classify("colours", "red")
            outcomes["ok"] += 1
        except LuxeError as error:
            outcomes[type(error).__name__] += 1
    assert outcomes == {"ok": 2, "Unavailable": 1}


def test_least_pending_avoids_the_slow(three, make):
    client = make(
        [one.address for one in three],
        timeout_s=15.0,
        balancing=Balancing("least_pending"),
        batch_size=1,
        concurrency=4,
    )
    three[0].delay(0.4)
    client.classify("colours", [f"text {n}" for n in range(40)])
    assert asked(three)[0] <= 6


def test_a_list_is_sent_side_by_side_within_its_bound(triton, make):
    client = make(triton.address, timeout_s=15.0, batch_size=1, concurrency=3)
    together, most, lock = [0], [0], threading.Lock()
    answer = triton._models["colours"]

    def script(request, _context):
        with lock:
            together[0] += 1
            most[0] = max(most[0], together[0])
        time.sleep(0.05)
        with lock:
            together[0] -= 1
        return answer(request)

    triton.script = script
    client.classify("colours", [f"text {n}" for n in range(12)])
    assert most[0] == 3


def test_a_list_fails_with_the_first_that_fails(triton, make):
    client = make(triton.address, timeout_s=15.0, batch_size=1, retry=Retry(tries=1))
    triton.fail(grpc.StatusCode.INTERNAL, "broken", times=1)
    with pytest.raises(LuxeError, match="broken"):
        client.classify("colours", [f"text {n}" for n in range(12)])
    assert len(triton.requests) <= 6


def test_a_late_second_answer_changes_nothing(three, make):
    """One of a list is answered elsewhere, and waits for its turn while the first server's answer comes too."""
    client = make(
        [one.address for one in three],
        timeout_s=15.0,
        batch_size=1,
        concurrency=2,
        retry=Retry(tries=2),
        balancing=Balancing(stall_s=0.2),
    )
    answer, arrived, both = three[0]._models["colours"], itertools.count(), threading.Event()

    def script(request, _context):
        text = request.raw_input_contents[0]
        if b"first" in text:
            assert both.wait(WAIT_S)
            time.sleep(0.3)  # so that the late answer is there
        elif next(arrived) == 0:
            time.sleep(0.6)
            both.set()
        return answer(request)

    for one in three:
        one.script = script
    first, second = client.classify("colours", ["first", "second"])
    assert (first.model, second.model) == ("colours", "colours")
    assert next(arrived) == 2, "else nothing was asked twice"
