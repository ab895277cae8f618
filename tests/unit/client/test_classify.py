import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from colours import LABELS, WAIT_S, scores_of

import luxe_client
from luxe_client import Classification
from luxe_client.testing import texts_of


def test_one_text_gives_one_answer(client, triton):
    answer = client.classify("colours", "a sunset")
    assert isinstance(answer, Classification)
    assert answer.scores == dict(zip(LABELS, scores_of("a sunset").tolist(), strict=True))
    best = int(np.argmax(scores_of("a sunset")))
    assert answer.label == LABELS[best]
    assert answer.score == answer.scores[answer.label] == max(answer.scores.values())
    assert list(answer.scores) == list(LABELS)
    assert answer.model == "colours"
    assert answer.version == "7"
    assert answer.request_id == triton.requests[0].id != ""


@pytest.mark.parametrize("form", [list, tuple])
def test_a_list_gives_a_list(client, form):
    answers = client.classify("colours", form(["a sunset"]))
    assert answers == [client_answer_without_id(answers[0], "a sunset")]


def client_answer_without_id(answer, text):
    scores = dict(zip(LABELS, scores_of(text).tolist(), strict=True))
    label = max(scores, key=scores.__getitem__)
    return Classification(
        label=label,
        score=scores[label],
        scores=scores,
        needs_review=False,
        model="colours",
        version="7",
        request_id=answer.request_id,
    )


def test_no_texts_cost_no_call(client, triton):
    assert client.classify("colours", []) == []
    assert triton.requests == []


@pytest.mark.parametrize("count", [1, 3, 4, 5, 8, 11])
def test_order_and_batches(triton, count, make):
    texts = [f"text {i} 😀" for i in range(count)]
    with make(triton.address, timeout_s=15.0, batch_size=4) as client:
        answers = client.classify("colours", texts)
    # Requests of a list are in flight together, so that they may arrive in any order.
    sent = {tuple(texts_of(request)): request.id for request in triton.requests}
    assert set(sent) == {tuple(texts[i : i + 4]) for i in range(0, count, 4)}
    assert [list(a.scores.values()) for a in answers] == [scores_of(t).tolist() for t in texts]
    assert len(set(sent.values())) == len(triton.requests) == len(sent)
    assert [a.request_id for a in answers] == [sent[tuple(texts[i - i % 4 : i - i % 4 + 4])] for i in range(count)]


def test_the_request_is_as_the_protocol_says(client, triton):
    client.classify("colours", ["é", "two words"])
    (request,) = triton.requests
    assert request.model_name == "colours"
    assert [(i.name, i.datatype, list(i.shape)) for i in request.inputs] == [("text", "BYTES", [2, 1])]
    assert request.raw_input_contents[0] == b"\x02\0\0\0\xc3\xa9\x09\0\0\0two words"
    assert not request.outputs  # all of them


def test_flags_belong_to_their_text(client):
    answers = client.classify("colours", ["plain", "really?", "long" * 11, "long?" * 11])
    assert [a.needs_review for a in answers] == [False, True, False, True]
    assert [a.truncated for a in answers] == [False, False, True, True]


def test_the_servers_queue_learns_the_timeout_in_microseconds(client, triton):
    client.classify("colours", "now", timeout_s=60.0)
    assert 30e6 < triton.requests[0].parameters["timeout"].int64_param <= 60e6


def test_threads_share_a_client(client):
    barrier = threading.Barrier(8)

    def calls(thread):
        barrier.wait(WAIT_S)
        texts = [f"thread {thread} call {i}" for i in range(20)]
        return [(text, client.classify("colours", text)) for text in texts]

    with ThreadPoolExecutor(8) as pool:
        pairs = [pair for result in pool.map(calls, range(8)) for pair in result]
    assert len(pairs) == 160
    for text, answer in pairs:
        assert list(answer.scores.values()) == scores_of(text).tolist()
    assert len({answer.request_id for _, answer in pairs}) == 160


def test_ready(client, triton):
    assert client.ready("colours") is True
    assert client.ready("shapes") is False
    triton.stop()
    assert client.ready("colours", timeout_s=5.0) is False


def test_ready_does_not_hide_a_mistake_of_its_caller(client):
    with pytest.raises(luxe_client.InvalidInput):
        client.ready("colours", timeout_s=-1.0)
