import json
import logging

import numpy as np
import pytest
from text_models import column

from luxe_serving.monitoring.metrics import Metrics
from luxe_serving.text.observed import ACCESS_LOG, Observer
from luxe_serving.text.pending import Refused, Request
from luxe_serving.text.questions import InvalidText

ANSWER = {"truncated": np.array([[True], [False]]), "needs_review": np.array([[True], [True]])}


def observe(answer, *, every, reply=lambda answer: None):
    """Let an observed request be replied to; returns what was counted."""
    metrics = Metrics()
    request = Request({"text": column(["a", "b"])}, reply, id="call-7", traceparent="00-11-22-01")
    Observer(metrics, "colours/3", every=every).watch(request, 0.0).reply(answer)
    return {(name, *dict(labels).values()): value for (name, labels), value in metrics.drain().items()}


def lines(caplog):
    return [(record.levelno, json.loads(record.message)) for record in caplog.records]


def test_an_answer_is_counted():
    counted = observe(ANSWER, every=False)
    assert counted["luxe_texts_total",] == 2
    assert counted["luxe_truncated_texts_total",] == 1
    assert counted["luxe_review_texts_total",] == 2
    assert counted["luxe_request_seconds_count",] == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (InvalidText("the request has no texts"), "invalid"),
        (Refused("overloaded", "later"), "overloaded"),
        (Refused("expired", "late"), "expired"),
        (Refused("cancelled", "left"), "cancelled"),
        (RuntimeError("the engine broke"), "failed"),
    ],
)
def test_a_refusal_is_counted_by_its_reason(error, reason):
    assert observe(error, every=False) == {("luxe_refusals_total", reason): 1}


def test_only_failures_of_ours_are_logged_unless_asked(caplog):
    caplog.set_level(logging.INFO)
    for outcome in (ANSWER, InvalidText("no"), Refused("overloaded", "later")):
        observe(outcome, every=False)
    assert lines(caplog) == []
    observe(RuntimeError("the engine broke"), every=False)
    ((level, line),) = lines(caplog)
    assert level == logging.ERROR
    assert line.pop("time") and line.pop("ms") > 0
    assert line == {
        "model": "colours/3",
        "request_id": "call-7",
        "traceparent": "00-11-22-01",
        "outcome": "failed",
        "error": "the engine broke",
    }


def test_every_request_is_a_line_when_asked(caplog):
    caplog.set_level(logging.INFO)
    observe(ANSWER, every=True)
    observe(Refused("overloaded", "later"), every=True)
    (first, answered), (second, refused) = lines(caplog)
    assert first == second == logging.INFO
    assert (answered["outcome"], answered["texts"]) == ("answered", 2)
    assert (refused["outcome"], refused["error"]) == ("overloaded", "overloaded: later")


@pytest.mark.parametrize(("value", "wanted"), [("1", 1), ("0", 0), (None, 0)])
def test_the_environment_asks(monkeypatch, caplog, value, wanted):
    caplog.set_level(logging.INFO)
    monkeypatch.delenv(ACCESS_LOG, raising=False)
    if value is not None:
        monkeypatch.setenv(ACCESS_LOG, value)
    observe(ANSWER, every=None)
    assert len(lines(caplog)) == wanted


def test_who_cannot_be_reached_fails_nobody(caplog):
    def gone(answer):
        raise ConnectionError("gone")

    assert observe(ANSWER, every=False, reply=gone)["luxe_texts_total",] == 2
    assert "could not be replied to" in caplog.text
