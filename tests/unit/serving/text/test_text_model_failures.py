"""Engines that fail, callers that cannot be reached: who is told, and that everybody else is answered."""

import threading

import numpy as np
import pytest
from text_models import VOCAB, WAIT_S, WORDS, Gate, Replies, ask, assert_answers, engine, submit

from luxe_serving.text import warm_up
from luxe_serving.text.padded import shapes
from luxe_serving.text.questions import InvalidText


def test_an_engine_error_is_the_answer_of_its_micro_batch_alone(make):
    def failing(tensors):
        if (tensors["input_ids"] == VOCAB["bad"]).any():
            raise RuntimeError("the engine is out of order")
        return engine(tensors)

    gate, replies = Gate(failing), Replies()
    model = make(gate, max_batch_size=16, max_padding_share=0.12)
    gate.hold(model, replies)
    short, long = "w1", " ".join(WORDS[:10])
    requests = [[short], ["bad", "bad", long], ["bad"], [long]]
    submit(model, [(r, replies(1 + i)) for i, r in enumerate(requests)])
    gate.opened.set()
    answers = replies.wait(5)
    assert len(gate.batches) == 3  # held; all the short ones; all the long ones
    for failed in answers[1:4]:
        assert isinstance(failed, RuntimeError)
        assert str(failed) == "the engine is out of order"
    assert_answers(answers[4], [long])
    # Served on, and the second half of the failed request made no second reply.
    (after,) = ask(model, ["w7"])
    assert_answers(after, ["w7"])
    model.close()
    assert [len(replies.by_request[i]) for i in range(5)] == [1] * 5


@pytest.mark.parametrize(
    "spoil",
    [
        lambda good: np.full_like(good, np.nan),
        lambda good: np.where(np.arange(3) == 1, np.nan, good),
        lambda good: np.where(np.arange(3) == 1, np.inf, good),
        lambda good: good[:, :2],
        lambda good: good[:0],
        lambda good: np.concatenate([good, good]),
        lambda good: good[0],
        lambda good: None,
    ],
    ids=["nan", "one nan", "inf", "few labels", "no rows", "more rows", "flat", "none"],
)
def test_unusable_logits_are_an_error(make, spoil):
    def spoiled(tensors):
        good = engine(tensors)
        return spoil(good) if (tensors["input_ids"] == VOCAB["bad"]).any() else good

    model = make(spoiled)
    (answer,) = ask(model, ["bad"])
    assert isinstance(answer, Exception)
    assert not isinstance(answer, InvalidText)
    (after,) = ask(model, ["w1"])
    assert_answers(after, ["w1"])


@pytest.mark.parametrize("texts", [[b"w1"], [b""]], ids=["answer", "refusal"])
def test_a_caller_whose_reply_fails_takes_nobody_along(make, texts):
    """A response sender raises, say for a request that Triton has given up."""

    def broken(_answer):
        raise RuntimeError("nobody listens")

    model, replies = make(), Replies()
    submit(model, [(texts, broken), ([b"w2"], replies(0))])
    (answer,) = replies.wait(1, timeout_s=3.0)
    assert_answers(answer, ["w2"])
    assert_answers(ask(model, ["w3"])[0], ["w3"])


def test_a_caller_who_cannot_be_asked_whether_he_has_left_is_answered(make):
    """Asking is a message to the server, which may fail as any does."""

    def lost():
        raise RuntimeError("no message got through")

    gate, replies = Gate(), Replies()
    model = make(gate)
    gate.hold(model, replies)
    submit(model, [(["w1"], replies(1))], cancelled=lost)
    threading.Event().wait(0.15)
    gate.opened.set()
    assert_answers(replies.wait(2)[1], ["w1"])
    assert_answers(ask(model, ["w2"])[0], ["w2"])


@pytest.fixture
def quick(monkeypatch):
    """One round of the warm-up is timed, and an engine that cannot be reached is given up soon."""
    monkeypatch.setattr(warm_up, "_TIMED_S", 0.0)
    monkeypatch.setattr(warm_up, "_PATIENCE_S", 0.2)
    monkeypatch.setattr(warm_up, "_PAUSE_S", 0.01)


def test_every_shape_runs_before_the_first_answer(make, quick):
    seen, together = [], threading.Barrier(2)

    def recording(tensors):
        shape = tensors["input_ids"].shape
        if shape in shapes(12, 4):
            together.wait(WAIT_S)  # both instances at once
        seen.append(shape)
        return engine(tensors)

    (answer,) = ask(make(recording, warm=True, engine_instances=2), ["w1 w2 w3"])
    assert_answers(answer, ["w1 w2 w3"])
    assert set(seen[:-1]) == {(1, 1), *shapes(12, 4)}
    assert seen[-1] == (1, 5)
    assert not together.broken


def test_the_warm_up_teaches_what_a_batch_costs(make, quick):
    """An engine that takes its time for every token gets no padding; the model that nobody taught gives it some."""

    def slow(tensors):
        threading.Event().wait(tensors["input_ids"].size * 1e-3)
        return engine(tensors)

    short, long = "w1", " ".join(WORDS[:10])

    def batches(warm):
        gate, replies = Gate(slow), Replies()
        model = make(gate, warm=warm, max_padding_share=1.0)
        gate.hold(model, replies)
        gate.batches.clear()
        submit(model, [([text], replies(1 + i)) for i, text in enumerate([short, long, short, long])])
        gate.opened.set()
        replies.wait(5)
        return gate.seen()

    assert batches(True) == [[short] * 2, [long] * 2]
    assert batches(False) == [[short, short, long, long]]


def test_an_engine_that_fails_at_first(make, quick):
    left = [5]

    def late(tensors):
        if left[0]:
            left[0] -= 1
            raise RuntimeError("not there yet")
        return engine(tensors)

    (answer,) = ask(make(late, warm=True), ["w1"])
    assert_answers(answer, ["w1"])


def test_an_engine_that_fails_always(make, quick):
    def failing(tensors):
        raise RuntimeError("out of order")

    model = make(failing, warm=True)
    for answer in ask(model, ["w1"], ["w2", "w3"]):
        assert str(answer) == "out of order"


def test_an_engine_that_fails_in_its_warm_up_only(make, quick):
    def failing(tensors):
        if tensors["input_ids"].shape == (4, 12):
            raise RuntimeError("too large")
        return engine(tensors)

    (answer,) = ask(make(failing, warm=True), ["w1"])
    assert_answers(answer, ["w1"])


def test_close_does_not_wait_for_an_engine_that_never_comes(make):
    def failing(tensors):
        raise RuntimeError("out of order")

    model, replies = make(failing, warm=True), Replies()
    submit(model, [(["w1"], replies(0))])
    closing = threading.Thread(target=model.close, daemon=True)
    closing.start()
    closing.join(WAIT_S)
    assert not closing.is_alive()
    assert isinstance(replies.only(0), RuntimeError)
