"""What a retry costs, and who waits: a stream does for servers that are overloaded, a call does not."""

import grpc
import pytest
from worlds import BUSY, CLOSED, GONE, World, by_replica

from luxe_client import Overloaded, Retry, Unavailable

UNTIL_S = 1003.0


def recovers(_address, now, _number):
    return (0.0, "ok") if now >= UNTIL_S else (0.0, *BUSY)


def test_a_bulk_request_waits_until_the_server_can():
    world = World(recovers, 1)
    assert world.call(timeout_s=60, bulk=True)[0] == "answer"
    assert UNTIL_S <= world.now < UNTIL_S + 1.1
    assert 3 < world.records[0].tries < 20, "it must ask more and more seldom"


def test_a_call_does_not():
    world = World(recovers, 1)
    with pytest.raises(Overloaded):
        world.call(timeout_s=60)
    assert world.now == 1000.0


def test_it_costs_no_retry_that_a_failure_would_need():
    world = World(recovers, 1, retry=Retry(budget=0.001, reserve=1))
    assert [world.call(timeout_s=60, bulk=True)[0] for _ in range(3)] == ["answer"] * 3
    assert world.policy.retries.spend()


def test_another_replica_is_asked_at_once():
    world = World(by_replica(a=(0.0, *BUSY), b=(0.0, *BUSY)))
    assert world.call(bulk=True)[1] == "c:1"
    assert world.now == pytest.approx(1000.01)


def test_the_servers_own_wait_counts():
    world = World(lambda _a, now, _n: (0.0, "ok") if now >= UNTIL_S else (0.0, *BUSY, "3000"), 1)
    world.call(timeout_s=60, bulk=True)
    assert world.records[0].tries == 2


@pytest.mark.parametrize(("push_back", "retry"), [("no", Retry()), (None, Retry(tries=1))])
def test_who_wants_no_retry_gets_none(push_back, retry):
    world = World(lambda *_: (0.0, *BUSY, push_back), 1, retry=retry)
    with pytest.raises(Overloaded):
        world.call(timeout_s=60, bulk=True)
    assert len(world.sent) == 1


def test_at_the_deadline_it_says_why():
    world = World(lambda *_: (0.0, *BUSY), 1)
    with pytest.raises(Overloaded):
        world.call(timeout_s=5, bulk=True)
    assert 1002.5 < world.now <= 1005


def test_a_stream_survives_overload(triton, make):
    triton.fail(grpc.StatusCode.RESOURCE_EXHAUSTED, times=6)
    client = make(triton.address, batch_size=2)
    assert len(list(client.iter_classify("colours", [f"text {n}" for n in range(12)], window=3))) == 12


@pytest.mark.parametrize(("told", "spent"), [(CLOSED, 2), (GONE, 0)])
def test_what_reached_no_server_costs_no_retry(told, spent):
    world = World(by_replica(a=(0.0, *told), b=(0.0, *told)), retry=Retry(reserve=2))
    for _ in range(4):
        world.call()
    assert len(world.sent) == 6
    assert world.policy.retries._tokens == pytest.approx(2 - spent, abs=0.5)


def test_a_dead_fleet_is_left_in_peace():
    """Each is looked for once a call; after that only the budget allows more."""
    world = World(lambda *_: (0.0, *GONE), retry=Retry(tries=10, reserve=1), replicas=3)
    for _ in range(10):
        with pytest.raises(Unavailable):
            world.call()
    assert len(world.sent) <= 3 * 10 + 1 + 1
