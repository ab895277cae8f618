import math
import threading

import numpy as np
import pytest
from text_models import LABELS, SETTINGS, WAIT_S, column, tokenizer

from luxe_serving.text import tasks
from luxe_serving.text.encoded import Encoded
from luxe_serving.text.pending import Pending, Refused, Request

OUTPUT = np.array([1.0, 2.0, 3.0], dtype=np.float32)


def done(one, number, output=OUTPUT, *, began_s=6.0, engine_s=0.5):
    one.done(number, output, began_s=began_s, engine_s=engine_s)


@pytest.fixture
def pending():
    """Make a request of texts, each with its output or None; its replies are gathered in the second result."""

    def pending(*outputs, tokenize_s=0.0, **options):
        task, replies = tasks.of(SETTINGS, tokenizer()), []
        request = Request({"text": column(["w1"] * len(outputs))}, replies.append, **options)
        rows = [Encoded("w1", [1, 7, 2], [0, 0, 0], False, None, output) for output in outputs]
        return Pending(task, task.read(request.arrays), rows, request, arrived_s=5.0, tokenize_s=tokenize_s), replies

    return pending


def test_the_last_row_makes_the_answer(pending):
    one, replies = pending(None, None)
    first, second = [waiting.number for waiting in one.missing()]
    done(one, second, OUTPUT)
    assert not one.over
    assert replies == []
    done(one, first, OUTPUT[::-1])
    assert one.over
    (answer,) = replies
    exps = np.exp(OUTPUT) / np.exp(OUTPUT).sum()
    np.testing.assert_allclose(answer["scores"], [exps[::-1], exps], rtol=1e-5)
    assert answer["labels"].shape == (2, len(LABELS))


def test_rows_that_are_known_are_not_missing(pending):
    one, replies = pending(OUTPUT, None, OUTPUT)
    (waiting,) = one.missing()
    assert waiting.pending is one
    assert waiting.row is one.rows[1]
    done(one, waiting.number)
    assert replies[0]["scores"].shape == (3, 3)


def test_a_request_of_which_all_is_known_is_answered_at_once(pending):
    one, replies = pending(OUTPUT, OUTPUT)
    assert one.over
    assert one.missing() == []
    assert len(replies) == 1


def test_an_error_is_the_reply_once(pending):
    one, replies = pending(None, None)
    first, second = [waiting.number for waiting in one.missing()]
    done(one, first, OUTPUT)
    error = Refused("expired", "too late")
    one.failed(error)
    one.failed(RuntimeError("again"))
    done(one, second, OUTPUT)
    assert replies == [error]
    assert one.over


def test_an_error_after_the_answer_is_no_reply(pending):
    one, replies = pending(None)
    done(one, 0, OUTPUT)
    one.failed(RuntimeError("too late"))
    assert len(replies) == 1
    assert isinstance(replies[0], dict)


def test_an_answer_that_cannot_be_made_is_an_error(pending):
    one, replies = pending(None, None)
    done(one, 0, OUTPUT)
    done(one, 1, OUTPUT[:2])  # of another width: they cannot be stacked
    (error,) = replies
    assert isinstance(error, ValueError)


def test_rows_that_end_at_once_in_threads_make_one_answer(pending):
    for _ in range(50):
        one, replies = pending(*[None] * 4)
        together = threading.Barrier(5)

        def end(act, together=together):
            together.wait(WAIT_S)
            act()

        acts = [lambda number=number, one=one: done(one, number) for number in range(len(one.rows))]
        acts.append(lambda one=one: one.failed(Refused("cancelled", "has left")))
        threads = [threading.Thread(target=end, args=(act,)) for act in acts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT_S)
        assert len(replies) == 1


def test_the_deadline_is_counted_from_the_arrival(pending):
    assert pending(None, timeout_s=2.0)[0].deadline_s == 7.0
    assert pending(None)[0].deadline_s == math.inf


@pytest.mark.parametrize("reason", ["overloaded", "expired", "cancelled"])
def test_a_refusal_says_its_reason_first(reason):
    refused = Refused(reason, "because")
    assert str(refused) == f"{reason}: because"
    assert refused.reason == reason


def test_an_answer_tells_where_its_time_went(pending):
    """Of each text: in the queue without tokenising, tokenising, and in the engine; none where it was known."""
    one, replies = pending(None, OUTPUT, None, tokenize_s=0.25)
    done(one, 2, began_s=7.0, engine_s=0.5)
    done(one, 0, began_s=5.125, engine_s=0.75)
    assert replies[0]["timings"].tolist() == [[0.0, 0.25, 0.75], [0.0, 0.0, 0.0], [1.75, 0.25, 0.5]]
