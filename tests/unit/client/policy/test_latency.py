from hypothesis import given
from hypothesis import strategies as st

from luxe_client._policy.latency import Latencies


def test_few_say_nothing():
    latencies = Latencies(0.95)
    for n in range(31):
        latencies.add(n)
    assert latencies.slow_s is None
    latencies.add(31)
    assert latencies.slow_s == 30


@given(st.lists(st.floats(0, 10), min_size=32, max_size=600))
def test_a_share_is_slower(seconds):
    latencies = Latencies(0.95)
    for one in seconds:
        latencies.add(one)
    known = seconds[: len(seconds) - len(seconds) % 16][-256:]
    assert sum(one > latencies.slow_s for one in known) <= 0.05 * len(known)
    assert latencies.slow_s in known


def test_what_is_long_ago_is_forgotten():
    latencies = Latencies(0.95)
    for one in [9.0] * 256 + [1.0] * 256:
        latencies.add(one)
    assert latencies.slow_s == 1.0
