"""What `luxe bench cost` computes from what it measured: statistics, schedules, padding, counters, texts."""

import math
import subprocess
import sys

import numpy as np
import pytest

from luxe_bench import processes
from luxe_bench.cost import metrics, padding, reference
from luxe_bench.cost.parts.cache import hit_rate
from luxe_bench.cost.parts.latency import share
from luxe_bench.cost.schedule import poisson
from luxe_bench.cost.statistics import EXPIRED, Load, median, percentile, refused, summary
from luxe_bench.cost.workload import Texts, zipf

COMMENTS = [f"word{i} other{i} third{i} fourth{i} fifth{i % 7}" for i in range(50)]


def load(status, *, due_s, sent_s, done_s, wall_s=2.0, cpu_s=0.5):
    due_s, sent_s, done_s = (np.array(times, dtype=float) for times in (due_s, sent_s, done_s))
    return Load(due_s, sent_s, done_s, status, wall_s, cpu_s, generator_cpu_s=0.1)


def test_latency_counts_from_when_a_request_was_due():
    found = summary(load(["OK"], due_s=[1.0], sent_s=[1.5], done_s=[1.6]))
    assert found.p50_ms == found.p99_ms == pytest.approx(600)
    assert found.per_s == 0.5
    assert found.cpu_s_per_1000 == 500 and found.generator_cpu_s_per_1000 == 100


def test_what_was_not_sent_is_no_request_and_no_error():
    never = math.nan
    found = summary(load(["OK", ""], due_s=[0, never], sent_s=[0, never], done_s=[1, never]))
    assert (found.requests, found.answered, found.errors) == (1, 1, {})


def test_only_answers_have_a_latency():
    found = summary(
        load(["OK", "UNAVAILABLE", EXPIRED], due_s=[0, 0, 0], sent_s=[0, 0, 0], done_s=[0.001, 5, 9], wall_s=1.0)
    )
    assert found.p99_ms == pytest.approx(1)
    assert found.errors == {"UNAVAILABLE": 1, EXPIRED: 1}
    assert found.requests == 3 and found.answered == 1


def test_no_answer_has_no_figures():
    found = summary(load(["INTERNAL"], due_s=[0], sent_s=[0], done_s=[1]))
    assert found.p50_ms is found.p95_ms is found.cpu_s_per_1000 is None
    assert found.per_s == 0


def test_a_refusal_is_no_request_that_expired():
    status = ["OK", "UNAVAILABLE", "RESOURCE_EXHAUSTED", EXPIRED, "DEADLINE_EXCEEDED", "INTERNAL"]
    times = range(len(status))
    assert refused(load(status, due_s=times, sent_s=times, done_s=times)).tolist() == [
        *(False, True, True),
        *(False, False, False),
    ]


def test_a_percentile_was_measured():
    assert percentile([1.0, 2.0, 10.0], 50) == 2
    assert percentile([1.0, 2.0, 10.0], 95) == 10
    assert percentile([], 50) is None


@pytest.mark.parametrize("values, wanted", [([3.0, 1.0, 2.0], 2.0), ([1.0, None], None), ([], None)])
def test_a_missing_round_is_not_left_out(values, wanted):
    assert median(values) == wanted


def test_a_schedule_is_poisson_and_the_same_by_seed():
    due = poisson(200, 30)
    assert (np.diff(due) > 0).all() and due[-1] < 30
    assert len(due) == pytest.approx(6000, rel=0.05)
    gaps = np.diff(due)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05), "exponential gaps"
    assert (due == poisson(200, 30)).all()
    assert len(poisson(200, 30, seed=1)) != len(due) or (poisson(200, 30, seed=1) != due).any()


def test_a_short_schedule_has_a_request():
    assert len(poisson(0.01, 1)) == 1


def test_padding_to_the_longest():
    assert padding.to_the_longest([10, 10, 10, 10], batch=2) == 0
    assert padding.to_the_longest([1, 9, 5, 5], batch=2) == pytest.approx(8 / 28)
    assert padding.to_the_longest([1, 9, 5, 5], batch=4) == pytest.approx(16 / 36)
    assert padding.to_the_longest([2, 2, 1], batch=2) == 0, "the last batch may be smaller"
    assert padding.to_the_longest([], batch=32) is None


METRICS = """# HELP luxe_tokens_total tokens
# TYPE luxe_tokens_total counter
luxe_tokens_total{model="a",version="1",kind="text"} 90
luxe_tokens_total{kind="padding",model="a",version="1"} 10
luxe_tokens_total{model="b",version="1",kind="padding"} 1000
up 1
"""


def test_counters_are_read_by_label_in_any_order():
    found = metrics.parse(METRICS)
    assert metrics.total(found, "luxe_tokens_total", {"model": "a", "kind": "padding"}) == 10
    assert metrics.total(found, "luxe_tokens_total", {"model": "a"}) == 100
    assert metrics.total(found, "up", {}) == 1
    assert metrics.total(found, "other", {}) is None


def test_the_padding_share_is_that_of_the_load():
    before = metrics.parse('luxe_tokens_total{model="a",version="1",kind="text"} 80\n')
    grown = metrics.growth(before, metrics.parse(METRICS))
    assert share(grown, "a") == 0.5
    assert share({}, "a") is None, "a server without the counters"
    assert share(metrics.growth(grown, grown), "a") is None, "nothing was computed"


def test_a_counter_that_was_never_raised_is_zero():
    text = metrics.parse('luxe_tokens_total{model="a",kind="text"} 80\nluxe_cache_hits_total{model="a"} 3\n')
    assert share(text, "a") == 0
    assert hit_rate(text, "a") == 1
    assert hit_rate(metrics.parse('luxe_cache_misses_total{model="a"} 3\n'), "a") == 0
    assert hit_rate(metrics.parse('luxe_cache_misses_total{model="b"} 3\n'), "a") is None


def test_no_text_is_given_twice():
    texts = Texts(COMMENTS)
    made = texts.take(3000)
    assert len({*made, *texts.take(1000)}) == 4000
    assert made == Texts(COMMENTS).take(3000)
    lengths = [len(text.split()) for text in made]
    assert min(lengths) >= 3 and max(lengths) <= 80
    assert 13 <= np.median(lengths) <= 17


def test_too_few_words_are_told():
    with pytest.raises(ValueError, match="too few"):
        Texts(["one word here"]).take(200)


def test_zipf_repeats_the_first_most():
    drawn = zipf(1000, 20_000, exponent=1.1)
    counts = np.bincount(drawn, minlength=1000)
    assert counts.argmax() == 0
    assert counts[0] / counts[9] == pytest.approx(10**1.1, rel=0.3)
    assert drawn == zipf(1000, 20_000, exponent=1.1)


def test_an_answer_to_another_text_is_wrong():
    expected = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]], np.float32)
    given = np.array([[0.89, 0.11], [0.9, 0.1], [np.nan, np.nan]], np.float32)
    assert reference.wrong(given, expected).tolist() == [False, True, True]


def test_shared_pages_count_once():
    """A child that only shares its parent's 100 MB adds little."""
    work = "import os, sys; x = b'x' * (100 << 20); os.fork(); os.write(1, b'.'); sys.stdin.read()"
    process = subprocess.Popen([sys.executable, "-c", work], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout.read(2) == b"..", "both are there"
        _, resident = processes.tree(process.pid)
        proportional = processes.proportional_bytes(process.pid)
    finally:
        process.stdin.close()  # both end
        process.wait()
        process.stdout.close()
    assert resident > 200 << 20
    assert 100 << 20 < proportional < 150 << 20
