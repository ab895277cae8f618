"""Answers go out beside the engine's work, each once, and a slow caller does not hold it up."""

import threading

from text_models import WAIT_S, Gate, eventually, submit
from text_models import Replies as Answers

from luxe_serving.text.replies import Replies


def test_calls_are_made_in_order_and_all_of_them():
    made = []
    replies = Replies()
    for number in range(100):
        replies.hand_over(lambda number=number: made.append(number))
    replies.close()
    assert made == list(range(100))


def test_a_call_that_raises_is_logged_and_the_next_is_made(caplog):
    made = []
    replies = Replies()
    replies.hand_over(lambda: 1 / 0)
    replies.hand_over(lambda: made.append(1))
    replies.close()
    assert made == [1]
    assert "an answer could not be given" in caplog.text


def test_the_engine_does_not_wait_for_a_slow_caller(make):
    gate, answers, read = Gate(), Answers(), threading.Event()
    model = make(gate, engine_instances=1)
    gate.hold(model, answers)

    def slow(answer):
        assert read.wait(WAIT_S)
        answers(1)(answer)

    # Three lengths, so three batches; while the first caller reads, the second batch is run.
    submit(model, [(["w1"], slow), (["w1 " * 6], answers(2)), (["w1 " * 12], answers(3))])
    gate.opened.set()
    eventually(lambda: len(gate.batches) >= 3)
    assert 1 not in answers.by_request
    read.set()
    answers.wait(4)


def test_closing_waits_for_the_answers(make):
    gate, answers = Gate(), Answers()
    model = make(gate, engine_instances=1)
    gate.hold(model, answers)
    submit(model, [([f"w{i} " * (1 + i % 9)], answers(1 + i)) for i in range(30)])
    gate.opened.set()
    model.close()
    assert len(answers.by_request) == 31
