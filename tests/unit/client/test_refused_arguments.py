"""What the client refuses by itself: texts, timeouts, addresses and batch sizes that cost no call."""

import pytest

from luxe_client import InvalidInput


@pytest.mark.parametrize(
    "texts",
    [
        "",
        " \n\t ",
        "\ud800",
        [None],
        [3],
        [b"bytes"],
        b"bytes",
        None,
        5,
        ["fine", ""],
        ["fine", "\u2003"],
        ["fine", "half a pair \udc00"],
    ],
    ids=repr,
)
def test_a_bad_text_costs_no_call(client, triton, texts):
    with pytest.raises(InvalidInput):
        client.classify("colours", texts)
    assert triton.requests == []


@pytest.mark.parametrize("bad", ["", 5, "\ud800"], ids=repr)
def test_a_bad_text_is_named_by_its_position(client, bad):
    with pytest.raises(InvalidInput, match="text 2 "):
        client.classify("colours", ["a", "b", bad])


def test_no_batch_is_sent_when_a_later_one_is_bad(triton, make):
    with make(triton.address, batch_size=1) as client, pytest.raises(InvalidInput):
        client.classify("colours", ["fine", "fine", ""])
    assert triton.requests == []


TIMEOUTS = [0, -1, 0.0, float("nan"), float("inf"), 86_400, 1e12]


@pytest.mark.parametrize("timeout_s", TIMEOUTS)
def test_a_bad_timeout_of_a_call(client, triton, timeout_s):
    with pytest.raises(InvalidInput, match="timeout_s"):
        client.classify("colours", "a text", timeout_s=timeout_s)
    assert triton.requests == []


@pytest.mark.parametrize("timeout_s", TIMEOUTS)
def test_a_bad_timeout_of_a_client(timeout_s, make):
    with pytest.raises(InvalidInput, match="timeout_s"):
        make("127.0.0.1:8001", timeout_s=timeout_s)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "127.0.0.1",
        ":8001",
        "127.0.0.1:",
        "127.0.0.1:grpc",
        "127.0.0.1:-1",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "127.0.0.1:²",
        "http://127.0.0.1:8000",
    ],
)
def test_a_bad_address(address, make):
    with pytest.raises(InvalidInput, match="address"):
        make(address)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "localhost:65535", "[::1]:8001", "dns:///triton:8001"])
def test_a_good_address(address, make):
    with make(address) as client:
        assert client.address == address


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_bad_batch_size(batch_size, make):
    with pytest.raises(InvalidInput, match="batch_size"):
        make("127.0.0.1:8001", batch_size=batch_size)
