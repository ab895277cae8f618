"""The fake that others test with: it must fail as a real server does."""

import threading
import time

import grpc
import numpy as np
import pytest
from colours import WAIT_S, colours

from luxe_client import Client, DeadlineExceeded, ModelNotFound, ServerError, Unavailable
from luxe_client.testing import FakeTriton


def test_it_answers_like_the_readme_says():
    with FakeTriton() as triton, Client(triton.address) as client:
        triton.classify("comment-intent", {"praise": 0.9, "spam": 0.1})
        assert client.classify("comment-intent", "lovely").label == "praise"


def test_a_fault_is_over_after_its_times(client, triton):
    triton.fail(grpc.StatusCode.INTERNAL, "broken", times=2)
    for _ in range(2):
        with pytest.raises(ServerError, match="broken"):
            client.classify("colours", "red")
    assert client.classify("colours", "red").model == "colours"


def test_a_delay(client, triton):
    triton.delay(0.2)
    before = time.monotonic()
    client.classify("colours", "red")
    assert time.monotonic() - before >= 0.2
    with pytest.raises(DeadlineExceeded):
        client.classify("colours", "red", timeout_s=0.05)


def test_what_hangs_is_answered_in_the_end(client, triton):
    triton.hang()
    threading.Timer(0.1, triton.recover).start()
    assert client.classify("colours", "red", timeout_s=WAIT_S).model == "colours"


def test_a_server_that_is_stopped_and_started_has_the_same_address(triton, make):
    client = make(triton.address, timeout_s=WAIT_S)
    client.classify("colours", "red")
    port = triton.port
    triton.stop()
    with pytest.raises(Unavailable):
        client.classify("colours", "red")
    triton.start()
    assert triton.port == port
    client.wait_ready(WAIT_S)
    assert client.classify("colours", "red").model == "colours"


def test_a_model_that_is_removed(client, triton):
    triton.remove("colours")
    assert not client.ready("colours")
    with pytest.raises(ModelNotFound, match="unknown model: 'colours' is not found"):
        client.classify("colours", "red")


def test_waiting_for_a_model(triton, make):
    client = make(triton.address, timeout_s=WAIT_S)
    client.wait_ready(WAIT_S, models=["colours"])
    threading.Timer(0.2, lambda: triton.embed("later", lambda _text: [1.0])).start()
    client.wait_ready(WAIT_S, models=["colours", "later"])
    assert np.array_equal(client.embed("later", "x"), [1.0])


def test_waiting_in_vain(triton, make):
    client = make(triton.address)
    with pytest.raises(DeadlineExceeded, match=r"never is not ready after 1 s: it is not loaded"):
        client.wait_ready(1, models=["colours", "never"])
    triton.stop()
    with pytest.raises(DeadlineExceeded, match=r"the server is not ready after 0\.3 s: "):
        client.wait_ready(0.3)


def test_several_at_once_do_not_mix():
    with FakeTriton() as one, FakeTriton() as other:
        colours(one)
        assert one.address != other.address
        with Client(other.address) as client, pytest.raises(ModelNotFound):
            client.classify("colours", "red")
