import math

from hypothesis import given
from hypothesis import strategies as st

from luxe_client._policy.breaker import Breaker


def breaker(after=3):
    return Breaker(after=after, first_s=1.0, longest_s=4.0)


def failing(one, times, *, at):
    for _ in range(times):
        one.sent(at)
        one.failed(at, at)
    return one


def test_failures_in_a_row_open_it():
    one = failing(breaker(), 2, at=10)
    assert one.closed and one.allows(10)
    failing(one, 1, at=10)
    assert not one.closed
    assert (one.allows(10.9), one.allows(11.0)) == (False, True)


def test_a_success_between_starts_the_count_again():
    one = failing(breaker(), 2, at=10)
    one.succeeded(10)
    assert failing(one, 2, at=11).closed


def test_at_once():
    one = breaker()
    one.failed(10, 10, at_once=True)
    assert not one.closed


def test_one_probe_a_while():
    one = failing(breaker(), 3, at=10)
    assert one.allows(11)
    one.sent(11)
    assert not one.allows(11.5), "a second probe beside the first"
    assert one.allows(12), "a probe that never ends must not shut it for good"


def test_a_probe_that_fails_doubles_the_while_to_a_bound():
    one = failing(breaker(), 3, at=10)
    lengths = []
    for _ in range(4):
        at = one.next_at
        one.sent(at)
        one.failed(at, at + 0.1)
        lengths.append(round(one.next_at - at - 0.1, 6))
    assert lengths == [2, 4, 4, 4]


def test_a_probe_that_succeeds_closes_it_as_new():
    one = failing(breaker(), 3, at=10)
    one.sent(11)
    one.failed(11, 11)
    one.sent(13)
    one.succeeded(13)
    assert one.closed
    failing(one, 3, at=14)
    assert one.next_at == 15


def test_what_was_sent_before_it_opened_changes_nothing():
    one = breaker(after=1)
    one.failed(9, 10)
    one.succeeded(9.5)  # a server that stops still answers what it has accepted
    assert not one.closed
    one.failed(9.9, 10.5)
    assert one.next_at == 11
    one.succeeded(11.5)
    one.failed(9.8, 12)
    assert one.closed, "nor after it has closed again"


def test_half_open_it_wants_one_probe_at_once():
    one = breaker()
    one.half_open(10)
    assert not one.closed and one.allows(10)
    one.sent(10.5)
    assert not one.allows(11)
    one.succeeded(9.9)
    assert not one.closed, "an answer to what was sent before"
    one.ready()
    assert one.allows(11)
    one.sent(11)
    one.succeeded(11)
    assert one.closed


@given(st.lists(st.tuples(st.sampled_from("sfn"), st.floats(0, 3)), max_size=60))
def test_it_always_opens_again(steps):
    one, now = breaker(after=1), 0.0
    for kind, later in steps:
        now += later
        if kind == "n":
            one.sent(now)
        elif kind == "s":
            one.succeeded(now)
        else:
            one.failed(now, now)
        assert one.allows(now + 4.0 + 1e-9)
        assert one.next_at == -math.inf or one.next_at <= now + 4.0
