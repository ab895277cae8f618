from hypothesis import given
from hypothesis import strategies as st

from luxe_client._policy.budget import Budget


@given(st.floats(0.001, 1), st.integers(1, 50), st.lists(st.booleans(), max_size=400))
def test_extra_requests_stay_under_their_share(ratio, reserve, steps):
    """True is a request, False a wish for an extra one."""
    budget = Budget(ratio, reserve)
    requests = granted = 0
    for step in steps:
        if step:
            budget.earn()
            requests += 1
        else:
            granted += budget.spend()
        assert granted <= ratio * requests + reserve + 1e-6


def test_a_tenth_is_a_tenth():
    budget = Budget(0.1, 5)
    assert [budget.spend() for _ in range(6)] == [True] * 5 + [False]
    for _ in range(10):
        budget.earn()
    assert [budget.spend(), budget.spend()] == [True, False]


def test_nothing_is_nothing():
    assert not Budget(0, 5).spend()


def test_the_reserve_is_a_bound():
    budget = Budget(1, 3)
    for _ in range(100):
        budget.earn()
    assert sum(budget.spend() for _ in range(100)) == 3
