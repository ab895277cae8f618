import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from text_models import (
    SETTINGS,
    VOCAB,
    WAIT_S,
    WORDS,
    Gate,
    Replies,
    ask,
    assert_answers,
    submit,
)

from luxe_serving.text.questions import InvalidText


def test_one_text(make):
    (answer,) = ask(make(), ["w1 w2 w3"])
    assert_answers(answer, ["w1 w2 w3"])
    assert answer["scores"].dtype == np.float32
    assert answer["scores"].shape == (1, 3)
    assert answer["needs_review"].shape == answer["truncated"].shape == (1, 1)
    assert answer["needs_review"].dtype == answer["truncated"].dtype == bool
    assert answer["scores"].sum() == pytest.approx(1.0)
    assert answer["labels"].tolist() == [[b"red", b"green", b"blue"]]


TEXTS = st.lists(st.sampled_from([*WORDS, "unheard-of"]), min_size=1, max_size=18).map(" ".join)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests=st.lists(st.lists(TEXTS, min_size=1, max_size=6), min_size=1, max_size=8))
@pytest.mark.parametrize("instances", [1, 3])
def test_answers_do_not_depend_on_the_batch(make, instances, requests):
    model = make(engine_instances=instances)
    answers = ask(model, *requests)
    for texts, answer in zip(requests, answers, strict=True):
        assert_answers(answer, texts)
        assert answer["truncated"].ravel().tolist() == [len(t.split()) + 2 > SETTINGS.max_length for t in texts]
    model.close()


def test_callers_in_several_threads(make):
    model, replies = make(engine_instances=2), Replies()
    texts = [" ".join(WORDS[i % 40 : i % 40 + 1 + i % 9]) for i in range(120)]

    def call(numbers):
        for i in numbers:
            submit(model, [([texts[i].encode()], replies(i))])

    threads = [threading.Thread(target=call, args=(range(k, 120, 4),)) for k in range(4)]
    for thread in threads:
        thread.start()
    for text, answer in zip(texts, replies.wait(120), strict=True):
        assert_answers(answer, [text])
    for thread in threads:
        thread.join(WAIT_S)


def test_waiting_texts_share_a_micro_batch_within_its_bounds(make):
    gate, replies = Gate(), Replies()
    model = make(gate, max_batch_size=16)
    gate.hold(model, replies)
    texts = ["w1"] * 3 + ["w1 w2 w3 w4 w5 w6 w7 w8"] * 6
    submit(model, [([t], replies(1 + i)) for i, t in enumerate(texts)])
    gate.opened.set()
    replies.wait(10)
    assert [b["input_ids"].shape for b in gate.batches] == [(1, 3), (3, 3), (4, 10), (2, 10)]


def test_padding(make):
    gate, replies = Gate(), Replies()
    model = make(gate, max_padding_share=1.0, max_micro_batch=2)
    gate.hold(model, replies)
    submit(model, [([b"w1"], replies(1)), ([b"w1 w2"], replies(2))])
    gate.opened.set()
    replies.wait(3)
    batch = gate.batches[1]
    assert batch["input_ids"].tolist() == [
        [VOCAB["[CLS]"], VOCAB["w1"], VOCAB["[SEP]"], VOCAB["[PAD]"]],
        [VOCAB["[CLS]"], VOCAB["w1"], VOCAB["w2"], VOCAB["[SEP]"]],
    ]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert batch["token_type_ids"].tolist() == [[0] * 4] * 2
    assert all(tensor.dtype == np.int64 for tensor in batch.values())


def test_the_engine_gets_the_inputs_that_it_names(make):
    gate = Gate()
    ask(make(gate, engine_inputs=("attention_mask", "input_ids")), ["w1"])
    assert list(gate.batches[0]) == ["attention_mask", "input_ids"]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"caf\xe9", "not UTF-8"),
        (b"w1 \xed\xa0\x80", "not UTF-8"),
        (b"", "empty"),
        (b" \n\t", "empty"),
        ("\u2003".encode(), "empty"),
        (b"x" * 201, "201 bytes"),
    ],
    ids=lambda value: value[:12] if isinstance(value, str) else None,
)
def test_an_invalid_text_concerns_its_own_request_only(make, bad, reason):
    before, refused, after = ask(make(), ["w1"], ["w2", bad, "w3"], ["w4 w5"])
    assert_answers(before, ["w1"])
    assert_answers(after, ["w4 w5"])
    assert isinstance(refused, InvalidText)
    assert "text 1 " in str(refused)
    assert reason in str(refused)


def test_the_longest_text_that_is_taken(make):
    text = "w1 " * 66 + "w2"
    assert len(text) == SETTINGS.max_text_bytes
    (answer,) = ask(make(), [text])
    assert_answers(answer, [text])


def test_only_invalid_requests(make):
    answers = ask(make(), [b""], [b"\xff"])
    assert [type(answer) for answer in answers] == [InvalidText] * 2


def test_a_request_without_texts_is_replied_to(make):
    model, replies = make(), Replies()
    submit(model, [([], replies(0)), ([b"w1"], replies(1))])
    _, answer = replies.wait(2, timeout_s=2.0)
    assert_answers(answer, ["w1"])


def test_texts_without_tokens_are_replied_to(make):
    """As a tokenizer without special tokens makes of what it drops, such as control characters."""
    model, replies = make(special=False), Replies()
    submit(model, [([b"dropped"], replies(i)) for i in range(4)])
    replies.wait(4, timeout_s=3.0)


def test_truncated(make):
    exact, cut = " ".join(WORDS[:10]), " ".join(WORDS[:11])
    (answer,) = ask(make(), [exact, cut])
    assert answer["truncated"].tolist() == [[False], [True]]
    np.testing.assert_array_equal(answer["scores"][0], answer["scores"][1])  # what was cut was not seen


def test_large_logits_are_usable(make):
    (answer,) = ask(make(lambda tensors: np.array([[1e4, 0.0, -1e4]], dtype=np.float32)), ["w1"])
    assert answer["scores"].tolist() == [[1.0, 0.0, 0.0]]


def test_close_answers_what_was_taken(make):
    gate, replies = Gate(), Replies()
    model = make(gate, max_micro_batch=2)
    gate.hold(model, replies)
    submit(model, [([b"w1", b"w2"], replies(1)), ([b"w3 w4 w5 w6"], replies(2))])
    closing = threading.Thread(target=model.close, daemon=True)
    closing.start()
    closing.join(0.2)
    assert closing.is_alive()  # three texts are still to be answered
    gate.opened.set()
    closing.join(WAIT_S)
    assert not closing.is_alive()
    assert_answers(replies.only(0), ["hold"])
    assert_answers(replies.only(1), ["w1", "w2"])
    assert_answers(replies.only(2), ["w3 w4 w5 w6"])


def test_submit_blocks_while_too_much_waits(make):
    gate, replies = Gate(), Replies()
    model = make(gate, max_batch_size=1)  # 64 texts may wait
    gate.hold(model, replies)
    submit(model, [([b"w1"], replies(1 + i)) for i in range(64)])
    more = threading.Thread(target=submit, args=(model, [([b"w1"], replies(65))]), daemon=True)
    more.start()
    more.join(0.3)
    assert more.is_alive()
    gate.opened.set()
    more.join(WAIT_S)
    replies.wait(66)


def test_review_under_the_threshold(make):
    texts = WORDS[:30]
    (answer,) = ask(make(), texts)
    best = answer["scores"].max(axis=1)
    assert answer["needs_review"].ravel().tolist() == (best < 0.6).tolist()
    assert 0 < answer["needs_review"].sum() < 30  # else the texts show nothing
    (at_zero,) = ask(make(review_threshold=0.0), texts)
    assert not at_zero["needs_review"].any()


def test_a_score_at_the_threshold_needs_no_review(make):
    flat = make(lambda tensors: np.zeros((len(tensors["input_ids"]), 4)), labels=("a", "b", "c", "d"), engine_width=4)
    assert ask(flat, ["w1"])[0]["needs_review"].tolist() == [[True]]
    edge = make(
        lambda tensors: np.zeros((len(tensors["input_ids"]), 4)),
        labels=("a", "b", "c", "d"),
        engine_width=4,
        review_threshold=0.25,
    )
    assert ask(edge, ["w1"])[0]["needs_review"].tolist() == [[False]]
