from collections import Counter

import pytest

from luxe_client._options import Balancing
from luxe_client._policy.verdict import Verdict
from luxe_client._pool import Pool

THREE = ["a:1", "b:1", "c:1"]


def pool(addresses=THREE, **options):
    made = Pool(Balancing(**options))
    made.update(addresses, 0.0)
    return made


def call(one, now=0.0, verdict=None, tried=(), model="m", took=0.0, **options):
    replica, number = one.send(model, now, tried)
    one.landed(replica, number, model, now + took, verdict, **options)
    return replica


def fail_at(one, address, verdict, now=0.0, model="m", **options):
    """Let the next request that goes to an address fail."""
    while call_address(one, address, verdict, now, model, **options) != address:
        pass


def call_address(one, address, verdict, now, model, **options):
    replica, number = one.send(model, now)
    one.landed(replica, number, model, now, verdict if replica.address == address else None, **options)
    return replica.address


def asked(one, now, times=60, model="m"):
    return Counter(call(one, now, model=model).address for _ in range(times))


def test_round_robin_gives_each_the_same():
    assert set(asked(pool(), 0.0).values()) == {20}


def test_least_pending_asks_the_idle():
    one = pool(policy="least_pending")
    held = [one.send("m", 0.0)[0] for _ in range(3)]
    assert len(set(held)) == 3
    fourth, number = one.send("m", 0.0)
    one.landed(fourth, number, "m", 0.0, None)
    busy = one.send("m", 0.0)[0]
    assert busy.pending == 2
    assert all(call(one).pending == 1 for _ in range(10))


def probe(one, now, ready=None, verdict=None, model="m"):
    """Probe the one replica that is due, with what it says of a question, or of a copy."""
    ((replica, number, copy),) = one.probes(model, now)
    if ready is None:
        assert copy
        one.landed(replica, number, model, now, verdict)
    else:
        assert not copy
        one.probed(replica, number, model, now, ready=ready)
    return replica.address


def test_a_replica_that_is_gone_is_left_at_once_and_probed_back():
    one = pool(eject_s=1.0)
    fail_at(one, "b:1", Verdict.GONE)
    assert one.probes("m", 0.5) == [] and asked(one, 0.5)["b:1"] == 0
    assert probe(one, 1.5, ready=True) == "b:1"
    assert asked(one, 1.6)["b:1"] == 0, "that it says so is no proof"
    assert probe(one, 1.6) == "b:1"
    assert asked(one, 1.6)["b:1"] == 20
    assert one.probes("m", 99.0) == []


def test_a_probe_is_one_request():
    one = pool(eject_s=1.0)
    fail_at(one, "b:1", Verdict.GONE)
    ((replica, number, _),) = one.probes("m", 1.5)
    assert one.probes("m", 2.4) == []
    assert [again[0] for again in one.probes("m", 2.5)] == [replica], "one that never ends must not shut it for good"
    one.probed(replica, number, "m", 2.6, ready=True)
    assert len(one.probes("m", 2.6)) == 1
    assert one.probes("m", 2.7) == [], "of copies too"


def test_a_server_that_has_come_back_without_its_model_is_left_longer():
    one = pool(eject_s=1.0)
    fail_at(one, "b:1", Verdict.GONE)
    probe(one, 1.5, ready=False)
    assert one.probes("m", 2.9) == []
    assert asked(one, 2.9)["b:1"] == 0
    probe(one, 3.6, ready=True)
    probe(one, 3.6)
    assert asked(one, 3.6)["b:1"] == 20


def test_a_model_that_says_it_is_ready_and_is_not_is_left_longer_each_time():
    """A backend process has died, and the server does not know (server#8604)."""
    one = pool(eject_s=1.0, longest_s=8.0)
    fail_at(one, "b:1", Verdict.SICK)
    now, waits = 0.0, []
    for _ in range(5):
        began = now
        while not one.probes("m", now):
            now += 0.25
        one.probed(next(r for r in one.replicas if r.address == "b:1"), max(held(one, "b:1")), "m", now, ready=True)
        probe(one, now, verdict=Verdict.SICK)
        waits.append(now - began)
    assert waits == [1, 2, 4, 8, 8]


def held(one, address):
    return next(r for r in one.replicas if r.address == address)._pending


def test_every_model_of_a_server_that_was_gone_is_probed():
    one = pool(eject_s=1.0)
    assert asked(one, 0.0, model="known")["b:1"] == 20
    fail_at(one, "b:1", Verdict.GONE)
    probe(one, 1.5, ready=True)
    probe(one, 1.5)
    for model in ("known", "new"):
        assert asked(one, 1.5, model=model)["b:1"] == 0
        assert probe(one, 1.5, ready=True, model=model) == "b:1"
        assert probe(one, 1.5, model=model) == "b:1"
        assert asked(one, 1.5, model=model)["b:1"] == 20


def test_what_was_under_way_when_a_server_was_left_and_fails_later_changes_nothing():
    one = pool(eject_s=1.0, stall_s=60.0)
    late = {replica.address: (replica, number) for replica, number in (one.send("m", 0.0) for _ in range(3))}["b:1"]
    fail_at(one, "b:1", Verdict.GONE, 0.5)
    probe(one, 1.6, ready=True)
    probe(one, 1.7)
    one.landed(*late, "m", 1.8, Verdict.GONE)
    assert asked(one, 1.8)["b:1"] == 20


def test_where_none_is_well_requests_are_the_probes():
    one = pool(["a:1", "b:1"], eject_s=1.0)
    for address in ("a:1", "b:1"):
        fail_at(one, address, Verdict.GONE)
    assert one.probes("m", 1.5) == []
    assert one.others("m", 1.5, [])
    assert call(one, 1.5).address in ("a:1", "b:1")
    assert len(one.probes("m", 2.6)) == 1, "now one of them is well, and the other is due"


def test_one_due_to_be_probed_is_asked_where_all_that_are_well_were_tried():
    one = pool(["a:1", "b:1"], eject_s=1.0)
    fail_at(one, "b:1", Verdict.GONE)
    (a, b) = one.replicas
    assert not one.others("m", 0.5, [a])
    assert one.others("m", 1.5, [a])
    assert call(one, 1.5, tried=[a]) is b


def test_without_copies_a_request_is_the_probe_of_one_that_says_it_is_ready():
    one = Pool(Balancing(eject_s=1.0), copies=False)
    one.update(THREE, 0.0)
    fail_at(one, "b:1", Verdict.GONE)
    assert asked(one, 1.5)["b:1"] == 0, "it has not said so yet"
    probe(one, 1.5, ready=True)
    assert one.probes("m", 1.6) == []
    sent = Counter(one.send("m", 1.6)[0].address for _ in range(30))
    assert sent["b:1"] == 1


def test_a_sick_model_does_not_condemn_the_replica():
    one = pool()
    fail_at(one, "b:1", Verdict.SICK)
    assert asked(one, 0.0)["b:1"] == 0
    assert asked(one, 0.0, model="other")["b:1"] == 20


def test_faults_must_repeat():
    one = pool(eject_after=3)
    for _ in range(2):
        fail_at(one, "b:1", Verdict.FAULT)
        call_address(one, "none", None, 0.0, "m")
    # An answer between starts the count again.
    assert asked(one, 0.0)["b:1"] > 0
    replicas = {r.address: r for r in one.replicas}
    others = [replicas["a:1"], replicas["c:1"]]
    for _ in range(3):
        assert call(one, 0.0, Verdict.FAULT, tried=others).address == "b:1"
    assert asked(one, 0.0)["b:1"] == 0


def test_one_that_is_busy_gets_none_for_as_long_as_it_says():
    one = pool()
    fail_at(one, "b:1", Verdict.BUSY, busy_s=2.0)
    assert asked(one, 1.9)["b:1"] == 0
    assert asked(one, 1.9, model="other")["b:1"] == 20
    assert asked(one, 2.0)["b:1"] == 20


def test_one_that_stalls_gets_none_until_it_is_heard():
    one = pool(stall_s=1.0)
    held, number = one.send("m", 0.0)
    assert asked(one, 0.9)[held.address] == 20
    assert asked(one, 1.5)[held.address] == 20, "it answered others"
    assert asked(one, 2.6)[held.address] == 0
    one.landed(held, number, "m", 3.0, None)
    assert asked(one, 3.0)[held.address] == 20


def test_a_request_after_a_quiet_hour_does_not_stall():
    one = pool(["a:1", "b:1"], stall_s=1.0)
    held = one.send("m", 3600.0)[0]
    assert not held.stalled(3600.5)
    assert held.stalled(3601.5)


def test_those_tried_come_last():
    one = pool()
    a, b, c = one.replicas
    assert {call(one, tried=[a, b]) for _ in range(10)} == {c}
    assert one.others("m", 0.0, [a, b])
    assert not one.others("m", 0.0, [a, b, c])
    assert call(one, tried=[a, b, c]) in (a, b, c)


def test_somebody_is_asked_even_where_none_is_well():
    one = pool(eject_s=1.0)
    for address in THREE:
        fail_at(one, address, Verdict.GONE)
    assert not one.others("m", 0.1, [])
    assert sum(asked(one, 0.1).values()) == 60


def test_the_one_that_is_well_soonest_is_asked_where_none_is():
    one = pool(["a:1", "b:1"], eject_s=1.0)
    fail_at(one, "a:1", Verdict.GONE, 0.0)
    fail_at(one, "b:1", Verdict.GONE, 0.5)
    assert one.send("m", 0.6)[0].address == "a:1"


def test_replicas_come_and_go():
    one = pool()
    held = {replica.address: (replica, number) for replica, number in (one.send("m", 0.0) for _ in range(3))}
    left = one.update(["b:1", "d:1"], 1.0)
    assert {replica.address for replica in left} == {"a:1", "c:1"}
    assert all(replica.retired and replica.pending == 1 for replica in left)
    assert held["b:1"][0] in one.replicas  # with all that is known of it
    assert set(asked(one, 1.0)) == {"b:1", "d:1"}
    replica, number = held["a:1"]
    one.landed(replica, number, "m", 1.0, None)
    assert replica.pending == 0


def test_no_replicas():
    with pytest.raises(LookupError):
        Pool(Balancing()).send("m", 0.0)
