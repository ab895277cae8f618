import collections
import logging

import pytest
from text_models import eventually

from luxe_serving.monitoring import metrics_sink
from luxe_serving.monitoring.metrics import FAMILIES, Metrics
from luxe_serving.monitoring.metrics_sink import MetricsSink


class Server:
    """Counters as the server keeps them, and how many were made."""

    def __init__(self, *, fails=lambda name: False):
        self.made, self.sums = collections.Counter(), collections.Counter()
        self._fails = fails

    def __call__(self, name, description, labels):
        assert description == FAMILIES[name]
        series = name, frozenset(labels.items())
        self.made[series] += 1

        def add(amount):
            if self._fails(name):
                raise RuntimeError("the server does not listen")
            self.sums[series] += amount

        return add

    def of(self, name, **labels):
        return self.sums[name, frozenset({"model": "m", **labels}.items())]


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(metrics_sink, "EVERY_S", 0.01)


def sink(metrics, server):
    return MetricsSink(metrics, {"model": "m"}, server)


def test_close_hands_on_the_rest():
    """Within the first seconds nothing was handed on yet."""
    metrics, server = Metrics(), Server()
    closing = sink(metrics, server)
    metrics.count("luxe_texts_total", 3)
    metrics.count("luxe_refusals_total", reason="expired")
    metrics.observe("luxe_micro_batch_size", 2)
    closing.close()
    assert server.of("luxe_texts_total") == 3
    assert server.of("luxe_refusals_total", reason="expired") == 1
    assert server.of("luxe_micro_batch_size_bucket", le="2.0") == 1
    assert server.of("luxe_micro_batch_size_bucket", le="+Inf") == server.of("luxe_micro_batch_size_count") == 1
    assert metrics.drain() == {}


def test_it_is_handed_on_from_time_to_time_by_one_counter_for_each_series(quick):
    metrics, server = Metrics(), Server()
    closing = sink(metrics, server)
    for round_ in range(1, 4):
        metrics.count("luxe_texts_total", 2)
        metrics.count("luxe_tokens_total", 5, kind="text")
        metrics.count("luxe_tokens_total", 1, kind="padding")
        eventually(lambda r=round_: server.of("luxe_tokens_total", kind="padding") == r)
    closing.close()
    assert server.of("luxe_texts_total") == 6
    assert server.of("luxe_tokens_total", kind="text") == 15
    assert set(server.made.values()) == {1}
    assert len(server.made) == 3


def test_a_counter_that_fails_takes_no_other_along(quick, caplog):
    metrics, server = Metrics(), Server(fails=lambda name: name == "luxe_texts_total")
    closing = sink(metrics, server)
    with caplog.at_level(logging.ERROR):
        for round_ in range(1, 3):
            metrics.count("luxe_texts_total")
            metrics.count("luxe_review_texts_total")
            eventually(lambda r=round_: server.of("luxe_review_texts_total") == r)
        metrics.count("luxe_texts_total")
        metrics.count("luxe_review_texts_total")
        closing.close()
    assert server.of("luxe_review_texts_total") == 3
    assert "the server does not listen" in caplog.text


def test_a_server_that_listens_again_gets_what_comes_then(quick):
    deaf = [True]
    metrics, server = Metrics(), Server(fails=lambda name: deaf[0])
    closing = sink(metrics, server)
    metrics.count("luxe_texts_total")
    eventually(lambda: server.made)
    eventually(lambda: metrics.drain() == {})
    deaf[0] = False
    metrics.count("luxe_texts_total", 5)
    closing.close()
    assert server.of("luxe_texts_total") == 5
