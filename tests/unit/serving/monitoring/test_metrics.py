import collections
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from text_models import WAIT_S

from luxe_serving.monitoring.metrics import FAMILIES, Metrics

BOUNDS = [0.0005 * 2**i for i in range(14)]


def buckets(drained, name):
    """The histogram's buckets as (bound, times), from the labels that Prometheus reads."""
    of_name = {labels: value for (series, labels), value in drained.items() if series == f"{name}_bucket"}
    return sorted((float(dict(labels)["le"]), value) for labels, value in of_name.items())


def quantile(share, found):
    """As Prometheus' histogram_quantile finds it: on a line between a bucket and the one below it, or 0."""
    rank = share * found[-1][1]
    i = next(i for i, (_, times) in enumerate(found) if times >= rank)
    low, before = found[i - 1] if i else (0.0, 0)
    return low + (found[i][0] - low) * (rank - before) / (found[i][1] - before)


def test_counters():
    metrics = Metrics()
    metrics.count("luxe_texts_total", 3)
    metrics.count("luxe_texts_total")
    metrics.count("luxe_tokens_total", 5, kind="text")
    metrics.count("luxe_tokens_total", 7, kind="padding")
    metrics.count("luxe_tokens_total", 1, kind="text")
    metrics.count("luxe_review_texts_total", 0)  # nothing happened, so nothing has to be handed on
    assert metrics.drain() == {
        ("luxe_texts_total", ()): 4,
        ("luxe_tokens_total", (("kind", "text"),)): 6,
        ("luxe_tokens_total", (("kind", "padding"),)): 7,
    }


@settings(max_examples=100, deadline=None)
@given(values=st.lists(st.floats(0, 10) | st.sampled_from(BOUNDS), min_size=1, max_size=50))
def test_a_histogram_is_cumulative(values):
    metrics = Metrics()
    for value in values:
        metrics.observe("luxe_queue_seconds", value)
    drained = metrics.drain()
    found = buckets(drained, "luxe_queue_seconds")
    assert found == [(bound, sum(v <= bound for v in values)) for bound in [*BOUNDS, float("inf")]]
    assert drained["luxe_queue_seconds_count", ()] == len(values)
    assert drained["luxe_queue_seconds_bucket", (("le", "+Inf"),)] == len(values)
    assert drained["luxe_queue_seconds_sum", ()] == pytest.approx(sum(values))


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_a_quantile_lies_where_the_values_do(share):
    """From the first scrape on: Prometheus looks between a bucket and the one below, or from 0 without one."""
    metrics = Metrics()
    for _ in range(100):
        metrics.observe("luxe_request_seconds", 0.1)
    assert 0.064 <= quantile(share, buckets(metrics.drain(), "luxe_request_seconds")) <= 0.128


def test_drained_twice_nothing_comes_twice():
    metrics = Metrics()
    metrics.count("luxe_texts_total", 2)
    metrics.observe("luxe_micro_batch_size", 3)
    assert metrics.drain()
    assert metrics.drain() == {}
    metrics.observe("luxe_micro_batch_size", 300)
    drained = metrics.drain()
    assert drained["luxe_micro_batch_size_bucket", (("le", "+Inf"),)] == 1
    assert drained["luxe_micro_batch_size_sum", ()] == 300
    assert sum(value for bound, value in buckets(drained, "luxe_micro_batch_size") if bound <= 128) == 0


def test_every_series_has_a_family():
    metrics = Metrics()
    for name in FAMILIES:
        if name.endswith("_sum"):
            metrics.observe(name.removesuffix("_sum"), 1.0)
        elif name.endswith("_total"):
            metrics.count(name)
    assert {name for name, _ in metrics.drain()} == set(FAMILIES)
    assert all(about and "\n" not in about for about in FAMILIES.values())


def test_an_unknown_histogram_is_a_mistake():
    with pytest.raises(KeyError):
        Metrics().observe("luxe_typo_seconds", 1.0)


def test_threads_lose_nothing_while_it_is_drained():
    metrics, sums, stop = Metrics(), collections.Counter(), threading.Event()

    def add():
        for _ in range(2000):
            metrics.count("luxe_texts_total")
            metrics.observe("luxe_engine_seconds", 0.5)

    def drain():
        while not stop.is_set():
            sums.update(metrics.drain())

    threads, drainer = [threading.Thread(target=add) for _ in range(4)], threading.Thread(target=drain)
    for thread in (*threads, drainer):
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    stop.set()
    drainer.join(WAIT_S)
    sums.update(metrics.drain())
    assert sums["luxe_texts_total", ()] == 8000
    assert sums["luxe_engine_seconds_count", ()] == 8000
    assert sums["luxe_engine_seconds_bucket", (("le", "0.512"),)] == 8000
    assert sums["luxe_engine_seconds_sum", ()] == pytest.approx(4000.0)
