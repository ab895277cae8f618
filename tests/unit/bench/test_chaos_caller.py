"""The callers of `luxe bench chaos`, a real process with real clients; only the servers are fakes."""

import itertools
import time

import grpc
import numpy as np
import pytest
from colours import colours, scores_of

from luxe.errors import UserError
from luxe_bench.chaos import known
from luxe_bench.chaos.calls import OK
from luxe_bench.chaos.load import Load
from luxe_client.testing import FakeTriton

TEXTS = ["red", "a green one", "something blue", "who knows"]
RATE, SECONDS = 40.0, 1.0


@pytest.fixture
def servers():
    with FakeTriton() as one, FakeTriton() as other:
        yield [colours(one), colours(other)]


def called(servers, scratch, scores=None, *, timeout_s=10.0, use_asyncio=False):
    scores = np.array([scores_of(text) for text in TEXTS] if scores is None else scores, np.float32)
    addresses = [one.address for one in servers]
    options = {"rate": RATE, "most_s": 100.0, "timeout_s": timeout_s, "asyncio": use_asyncio, "scratch": scratch}
    with Load(addresses, "colours", (TEXTS, scores), **options) as load:
        began = load.start()
        time.sleep(max(0.0, began + SECONDS - time.monotonic()))
        return load.stop(SECONDS)


@pytest.mark.parametrize("use_asyncio", [False, True])
def test_calls_are_made_when_they_are_due_and_their_answers_checked(servers, tmp_path, use_asyncio):
    scores = [scores_of(text) for text in TEXTS]
    scores[2] = [0.0, 0.0, 1.0]
    servers[0].delay(0.2)
    calls = called(servers, tmp_path, scores, use_asyncio=use_asyncio)
    assert 0.5 * RATE * SECONDS < len(calls) < 2 * RATE * SECONDS
    assert max(call.due_s for call in calls) < SECONDS
    assert {call.outcome for call in calls} == {OK}
    assert [call.wrong for call in calls] == [number % len(TEXTS) == 2 for number in range(len(calls))]
    assert {call.replica for call in calls} == {one.address for one in servers}
    assert {(call.tries, call.version) for call in calls} == {(1, "7")}
    assert all(call.due_s <= call.sent_s <= call.done_s for call in calls)
    slow = [call for call in calls if call.replica == servers[0].address]
    assert all(call.latency_ms >= 200 for call in slow)
    assert len(calls) == len(servers[0].requests) + len(servers[1].requests) - 1, "the first call comes before the run"


@pytest.mark.parametrize("use_asyncio", [False, True])
def test_failures_and_tries_are_told_call_by_call(servers, tmp_path, use_asyncio):
    answer, green = servers[0]._models["colours"], itertools.count()

    def script(request, context):
        text = request.raw_input_contents[0]
        if b"who" in text:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no colour")
        if b"green" in text and next(green) == 0:
            context.abort(grpc.StatusCode.UNAVAILABLE, "overloaded: later")
        return answer(request)

    for server in servers:
        server.script = script
    calls = called(servers, tmp_path, use_asyncio=use_asyncio)
    failed = [call for call in calls if call.outcome != OK]
    assert failed == calls[3::4]
    assert {call.outcome for call in failed} == {"InvalidInput"}
    assert all("no colour" in call.message and not call.wrong for call in failed)
    assert [call.tries for call in calls] == [2 if number == 1 else 1 for number in range(len(calls))]


def test_callers_that_cannot_begin_say_why(servers, tmp_path):
    for server in servers:
        server.fail(grpc.StatusCode.INVALID_ARGUMENT, "not today")
    with pytest.raises(UserError, match="not today"):
        called(servers, tmp_path)


def test_a_server_that_answers_otherwise_is_found_before_the_run(servers):
    addresses = [one.address for one in servers]
    texts, scores = known.ask(addresses, "colours", TEXTS)
    assert texts[0] == TEXTS[0] and len(texts) == len(scores) < len(TEXTS), "two have nearly the same answer"
    servers[1].classify("colours", {"red": 1.0, "green": 0.0, "blue": 0.0})
    with pytest.raises(UserError, match="another answer"):
        known.ask(addresses, "colours", TEXTS)
