"""A client that is closed: before a call, during one, twice."""

import threading

import pytest
from colours import WAIT_S, answer_to

from luxe_client import LuxeError


def test_a_closed_client(client, triton):
    client.classify("colours", "a text")
    client.close()
    with pytest.raises(LuxeError, match="closed"):
        client.classify("colours", "a text")
    assert len(triton.requests) == 1
    client.close()  # closing twice does no harm


def test_leaving_the_block_closes(triton, make):
    with make(triton.address) as client:
        pass
    with pytest.raises(LuxeError, match="closed"):
        client.classify("colours", "a text")


def test_closing_fails_the_calls_in_flight(client, triton):
    arrived, release, caught = threading.Event(), threading.Event(), []

    def script(request, _context):
        arrived.set()
        release.wait(WAIT_S)
        return answer_to(request)

    def call():
        try:
            client.classify("colours", "a text")
        except Exception as error:
            caught.append(error)

    triton.script = script
    thread = threading.Thread(target=call)
    thread.start()
    try:
        assert arrived.wait(WAIT_S)
        client.close()
        thread.join(WAIT_S)
        assert not thread.is_alive()
        assert [isinstance(error, LuxeError) for error in caught] == [True]
    finally:
        release.set()
        thread.join(WAIT_S)
