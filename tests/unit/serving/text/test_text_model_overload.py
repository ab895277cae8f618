"""More than the engine can do: who is refused, when, and what that costs the others."""

import threading
import time

import pytest
from text_models import (
    VOCAB,
    WAIT_S,
    WORDS,
    Gate,
    Replies,
    ask,
    assert_answers,
    column,
    engine,
    eventually,
    submit,
    table,
)

from luxe_serving.text.pending import Refused, Request
from luxe_serving.text.questions import InvalidText


@pytest.fixture
def busy(make):
    """Make a model whose only engine instance is busy until the gate is opened; request 0 keeps it so."""

    def busy(then=engine, **changes):
        gate, replies = Gate(then), Replies()
        model = make(gate, **changes)
        gate.hold(model, replies)
        return model, gate, replies

    return busy


def fill(model, replies, count, *, start=1, **options):
    """Let texts of three tokens wait, each by the cost model of the start 0.55 ms of work; 1.3 ms alone."""
    for i in range(count):
        submit(model, [(["w1"], replies(start + i))], **options)


def assert_refused(answer, reason):
    assert isinstance(answer, Refused), answer
    assert answer.reason == reason
    assert str(answer).startswith(f"{reason}: ")
    assert "\n" not in str(answer)


def test_a_wait_beyond_the_timeout_is_refused_at_once(busy):
    model, gate, replies = busy(max_batch_size=16)
    fill(model, replies, 200)  # 110 ms
    submit(model, [(["w2"], replies(201))], timeout_s=0.1)
    assert_refused(replies.only(201), "overloaded")  # while the engine still stands still
    assert "30 ms are the most" in str(replies.only(201))
    gate.opened.set()
    assert all(isinstance(answer, dict) for answer in replies.wait(202)[:201])
    assert not any("w2" in batch for batch in gate.seen())


def test_who_comes_after_others_in_one_call_is_refused_unread(busy):
    model, gate, replies = busy(max_batch_size=16)
    fill(model, replies, 40)  # 22 ms, 30 of the timeout are allowed
    assert model.refusal(0.1) is None
    assert model.refusal(0.1, ahead=8) is None
    refused = model.refusal(0.1, ahead=30)
    assert_refused(refused, "overloaded")
    gate.opened.set()
    replies.wait(41)


def test_a_wait_within_the_timeout_is_taken(busy):
    model, gate, replies = busy(max_batch_size=16)
    fill(model, replies, 200)
    submit(model, [(["w2"], replies(201))], timeout_s=WAIT_S)
    assert 201 not in replies.by_request
    gate.opened.set()
    assert_answers(replies.wait(202)[201], ["w2"])


def test_a_wait_beyond_the_models_own_limit_is_refused_without_a_timeout(busy):
    model, gate, replies = busy(max_batch_size=16, max_wait_ms=100)
    fill(model, replies, 100)
    submit(model, [(["w2"] * 16, replies(101 + i)) for i in range(20)])  # each 9 ms
    refused = [i for i in range(101, 121) if i in replies.by_request]
    assert 10 <= len(refused) <= 20  # those before it in the same call count
    assert refused == list(range(refused[0], 121))
    for i in refused:
        assert_refused(replies.only(i), "overloaded")
    gate.opened.set()
    replies.wait(121)


def test_bulk_ahead_of_an_interactive_request_does_not_count(busy):
    model, gate, replies = busy(max_batch_size=16, bulk_patience_ms=60_000)
    fill(model, replies, 200, bulk=True)
    submit(model, [(["w2"], replies(201))], timeout_s=0.1)
    assert 201 not in replies.by_request
    submit(model, [(["w3"], replies(202))], timeout_s=0.1, bulk=True)
    assert_refused(replies.only(202), "overloaded")
    gate.opened.set()
    replies.wait(203)


def test_what_expires_in_the_queue_does_not_reach_the_engine(busy):
    model, gate, replies = busy()
    submit(model, [(["w1", "w2"], replies(1)), (["w3"], replies(2))], timeout_s=0.1)
    submit(model, [(["w4"], replies(3))])
    time.sleep(0.15)
    assert list(replies.by_request) == []
    gate.opened.set()
    answers = replies.wait(4)
    assert_refused(answers[1], "expired")
    assert_refused(answers[2], "expired")
    assert_answers(answers[3], ["w4"])
    assert gate.seen() == [["hold"], ["w4"]]
    assert_answers(ask(model, ["w5"], timeout_s=WAIT_S)[0], ["w5"])


def test_a_request_with_rows_of_which_one_expires_is_refused_once(busy):
    """Rows of other lengths: the long one cannot be answered in time, the short one could."""
    model, gate, replies = busy(max_micro_batch=1)
    long = " ".join(WORDS[:10])
    submit(model, [(["w1", long, "w2"], replies(1))], timeout_s=0.1)
    submit(model, [(["w3"], replies(2))])
    time.sleep(0.15)
    gate.opened.set()
    answers = replies.wait(3)
    assert_refused(answers[1], "expired")
    assert gate.seen() == [["hold"], ["w3"]]
    model.close()
    assert len(replies.by_request[1]) == 1


def test_a_caller_who_left_is_not_computed(busy):
    model, gate, replies = busy()
    submit(model, [(["w1", "w2"], replies(1)), (["w3"], replies(2))], cancelled=lambda: True)
    submit(model, [(["w4"], replies(3))], cancelled=lambda: False)
    time.sleep(0.6)
    gate.opened.set()
    answers = replies.wait(4)
    assert_refused(answers[1], "cancelled")
    assert_refused(answers[2], "cancelled")
    assert_answers(answers[3], ["w4"])
    assert gate.seen() == [["hold"], ["w4"]]
    model.close()
    assert [len(replies.by_request[i]) for i in range(4)] == [1] * 4


def test_who_has_hardly_waited_is_not_asked(make):
    """Asking costs a message between processes."""
    asked = []
    (answer,) = ask(make(), ["w1"], cancelled=lambda: asked.append(1))
    assert_answers(answer, ["w1"])
    assert asked == []


def test_the_other_rows_of_a_failed_request_are_dropped(busy):
    """Five micro-batches of one request, the first of which fails: the other four would be for nobody."""

    def failing(tensors):
        if (tensors["input_ids"] == VOCAB["bad"]).any():
            raise RuntimeError("bad text")
        return engine(tensors)

    model, gate, replies = busy(failing, max_batch_size=16)
    submit(model, [(["bad", *["w1"] * 16], replies(1)), (["w2"], replies(2))])
    gate.opened.set()
    answers = replies.wait(3)
    assert str(answers[1]) == "bad text"
    assert_answers(answers[2], ["w2"])
    assert gate.seen() == [["hold"], ["bad", "w1", "w1", "w1"], ["w2"]]
    model.close()
    assert len(replies.by_request[1]) == 1


def test_bulk_is_overtaken_but_not_for_ever(busy):
    model, gate, replies = busy(max_micro_batch=1, bulk_patience_ms=300)
    submit(model, [(["w1"], replies(1))], bulk=True)
    submit(model, [(["w2"], replies(2))])
    time.sleep(0.4)
    submit(model, [(["w3"], replies(3))])
    gate.opened.set()
    replies.wait(4)
    assert gate.seen() == [["hold"], ["w2"], ["w1"], ["w3"]]


def test_without_patience_bulk_waits_its_turn(busy):
    model, gate, replies = busy(max_micro_batch=1, bulk_patience_ms=0)
    submit(model, [(["w1"], replies(1))], bulk=True)
    submit(model, [(["w2"], replies(2))])
    gate.opened.set()
    replies.wait(3)
    assert gate.seen() == [["hold"], ["w1"], ["w2"]]


def test_room_for_a_refused_request_is_given_to_the_next(busy):
    """`submit` blocks where too much waits; what expires makes room."""
    model, gate, replies = busy(max_batch_size=1)
    fill(model, replies, 64, timeout_s=0.3)
    more = threading.Thread(target=submit, args=(model, [(["w2"], replies(65))]), daemon=True)
    more.start()
    time.sleep(0.4)
    assert more.is_alive()
    gate.opened.set()
    more.join(WAIT_S)
    answers = replies.wait(66)
    assert {type(answer) for answer in answers[1:65]} == {Refused}
    assert_answers(answers[65], ["w2"])


def test_a_text_that_is_too_long_is_refused_where_it_may_not_be_cut(make):
    exact, long = " ".join(WORDS[:10]), " ".join(WORDS[:11])
    model = make(auto_truncate=False)
    before, refused, after = ask(model, [exact], ["w1", long, exact], ["w2"])
    assert_answers(before, [exact])
    assert_answers(after, ["w2"])
    assert isinstance(refused, InvalidText)
    assert str(refused) == "text 1 has over 12 tokens, which this model takes at most"
    (marked,) = ask(make(auto_truncate=True), ["w1", long, exact])
    assert marked["truncated"].tolist() == [[False], [True], [False]]


def test_a_pair_that_is_too_long_names_its_label(make):
    zero = {"task": "zero-shot-classification", "labels": (), "entailment_id": 2, "contradiction_id": 0}
    model, replies = make(**zero, auto_truncate=False), Replies()
    arrays = {"text": column(["w1 w2 w3 w4 w5"]), "candidate_labels": table([["w6", "w7 w8 w9"]], width=2)}
    model.submit([Request(arrays, replies(0))])
    eventually(lambda: 0 in replies.by_request)
    expected = "text 0 with candidate label 1 has over 12 tokens, which this model takes at most"
    assert str(replies.only(0)) == expected
