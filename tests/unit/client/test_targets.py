"""Names that stand for several servers: found, found again, and left."""

import time

import pytest
from colours import WAIT_S, colours

from luxe_client import Balancing, Client, InvalidInput, Unavailable
from luxe_client._directory import Directory
from luxe_client._pool import Pool
from luxe_client._targets import lookup, parse, resolve
from luxe_client.testing import FakeTriton


@pytest.mark.parametrize(
    ("text", "host", "port", "fixed"),
    [
        ("127.0.0.1:8001", "127.0.0.1", 8001, True),
        ("[::1]:8001", "::1", 8001, True),
        ("localhost:1", "localhost", 1, True),
        ("triton.prod.svc:65535", "triton.prod.svc", 65535, False),
        ("dns:///triton:8001", "triton", 8001, False),
    ],
)
def test_what_a_target_means(text, host, port, fixed):
    (target,) = parse(text)
    assert (target.text, target.host, target.port, target.fixed) == (text, host, port, fixed)


@pytest.mark.parametrize("text", ["::1:8001", "[::1:8001", "[triton]:8001", "a b:1", "http://x:1", "x:1\n", "x:1/y"])
def test_what_no_target_is(text):
    with pytest.raises(InvalidInput, match="not host:port"):
        parse(text)


def test_a_target_that_is_named_twice_counts_once():
    assert len(parse(["a:1", "a:1", "b:1"])) == 2


def test_names_give_all_their_addresses():
    targets = parse(["a:1", "10.0.0.9:2"])
    found = resolve(targets, lambda host, port: [f"10.0.0.{n}:{port}" for n in (1, 2)])
    assert list(found) == ["10.0.0.1:1", "10.0.0.2:1", "10.0.0.9:2"]
    assert found["10.0.0.2:1"].host == "a"


def broken(_host, _port):
    raise OSError("no such name")


def test_a_name_that_does_not_resolve_is_nobodys_fault_while_another_does():
    assert list(resolve(parse(["a:1", "10.0.0.9:2"]), broken)) == ["10.0.0.9:2"]
    with pytest.raises(Unavailable, match="a:1 does not resolve: no such name"):
        resolve(parse("a:1"), broken)


def test_the_systems_resolver():
    assert lookup("localhost", 8001) == ["127.0.0.1:8001"]


def directory(*targets):
    pool = Pool(Balancing())
    return Directory(parse(list(targets)), pool, 10.0, 0.0), pool


def test_addresses_are_there_at_once_and_never_looked_up():
    fixed, pool = directory("10.0.0.1:1", "10.0.0.2:1")
    assert not fixed.empty
    assert not fixed.due(1e9)
    assert len(pool.replicas) == 2


def test_names_are_looked_up_now_and_then():
    named, pool = directory("a:1")
    assert named.empty
    found = dict.fromkeys(["10.0.0.1:1", "10.0.0.2:1"], named.targets[0])
    named.update(found, 0.0)
    assert [named.due(now) for now in (9.9, 10.0, 10.1, 20.0)] == [False, True, False, True]
    assert [replica.address for replica in pool.replicas] == list(found)


def test_a_connection_closes_when_its_last_request_has_ended():
    named, pool = directory("a:1")
    named.update({"10.0.0.1:1": named.targets[0]}, 0.0)
    replica, number = pool.send("m", 0.0)
    named.update({"10.0.0.2:1": named.targets[0]}, 1.0)
    assert named.gone() == []
    pool.landed(replica, number, "m", 1.0, None)
    assert named.gone() == ["10.0.0.1:1"]
    assert named.gone() == []


def test_an_address_that_came_back_stays_connected():
    named, _pool = directory("a:1")
    for address in ("10.0.0.1:1", "10.0.0.2:1", "10.0.0.1:1"):
        named.update({address: named.targets[0]}, 0.0)
    assert named.gone() == ["10.0.0.2:1"]


def test_replicas_that_appear_later_are_found_and_those_that_left_are_left(make, monkeypatch):
    with FakeTriton() as first, FakeTriton() as second:
        servers = [colours(first)]
        client = make("triton.example:8001", timeout_s=15.0, balancing=Balancing(resolve_s=0.05))
        shell = client._transport
        monkeypatch.setattr(shell, "_look_up", lambda _host, _port: [server.address for server in servers])
        client.classify("colours", "red")
        servers[:] = [colours(second)]
        deadline = time.monotonic() + WAIT_S
        while not second.requests:
            client.classify("colours", "red")
            assert time.monotonic() < deadline
        before = len(first.requests)
        for _ in range(10):
            client.classify("colours", "red")
        assert len(first.requests) == before


def test_a_name_that_does_not_resolve(make, monkeypatch):
    client = make("triton.example:8001")
    monkeypatch.setattr(client._transport, "_look_up", broken)
    for _ in range(2):
        with pytest.raises(Unavailable, match="does not resolve: no such name"):
            client.classify("colours", "red")


def test_nothing_is_looked_up_before_the_first_call(monkeypatch):
    monkeypatch.setattr("socket.getaddrinfo", broken)
    Client("triton.example:8001").close()
