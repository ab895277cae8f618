import gc
import threading
import time

import grpc
import pytest
from colours import WAIT_S, answer_to

from luxe_client import DeadlineExceeded


@pytest.fixture
def held(triton):
    """A server that answers nothing until the event is set."""
    release = threading.Event()

    def script(request, _context):
        release.wait(WAIT_S)
        return answer_to(request)

    triton.script = script
    yield release
    release.set()


def test_a_late_answer_is_not_waited_for(client, triton, held):
    with pytest.raises(DeadlineExceeded, match=f"colours at {triton.address}: no answer"):
        client.classify("colours", "late", timeout_s=0.3)
    assert not held.is_set()  # the call came back while the server still held its answer
    assert len(triton.requests) == 1


def test_the_clients_own_timeout_is_the_default(triton, held, make):
    with make(triton.address, timeout_s=0.3) as client, pytest.raises(DeadlineExceeded):
        client.classify("colours", "late")


def test_deadline_exceeded_is_a_timeout_error(client, held):
    with pytest.raises(TimeoutError):
        client.classify("colours", "late", timeout_s=0.3)


def test_the_server_sees_no_cancellation_before_its_answer(client, triton, held):
    """Triton 2.51 may crash on one (server issues 7368 and 8034)."""
    try:
        client.classify("colours", "late", timeout_s=0.3)
    except DeadlineExceeded:
        pass
    else:
        pytest.fail("the answer was held")
    gc.collect()  # nobody holds the call any more; grpc cancels a call that is collected
    assert not triton.cancelled.wait(1.0)
    held.set()
    assert triton.answered.acquire(timeout=WAIT_S)
    assert triton.alive == [True]


def test_the_client_serves_on_after_a_deadline(client, triton, held):
    with pytest.raises(DeadlineExceeded):
        client.classify("colours", "late", timeout_s=0.3)
    held.set()
    assert client.classify("colours", "in time").model == "colours"


def test_several_batches_share_one_deadline(triton, make):
    def script(request, _context):
        time.sleep(0.2)
        return answer_to(request)

    triton.script = script
    with make(triton.address, batch_size=1, concurrency=1) as client:
        # Five times 0.2 s: each batch alone is well within the deadline, all of them are not.
        with pytest.raises(DeadlineExceeded):
            client.classify("colours", ["a", "b", "c", "d", "e"], timeout_s=0.6)
        assert len(triton.requests) < 5
        triton.requests.clear()
        client.classify("colours", ["a", "b"], timeout_s=30.0)
    first, second = (r.parameters["timeout"].int64_param for r in triton.requests[-2:])
    assert second <= first - 0.2e6


def test_the_wire_deadline_is_looser_than_the_callers(client, triton):
    left = []

    def script(request, context):
        left.append(context.time_remaining())
        return answer_to(request)

    triton.script = script
    client.classify("colours", "now", timeout_s=2.0)
    assert left[0] > 10


def test_a_deadline_that_the_server_reports(client, triton):
    triton.fail(grpc.StatusCode.DEADLINE_EXCEEDED)
    with pytest.raises(DeadlineExceeded):
        client.classify("colours", "late")
