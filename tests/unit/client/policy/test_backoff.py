from hypothesis import given
from hypothesis import strategies as st

from luxe_client._policy.backoff import wait_s


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_a_wait_is_within_its_bound(failures, chance):
    wait = wait_s(failures, base_s=0.02, longest_s=1.0, chance=lambda: chance)
    assert 0 <= wait <= 1.0
    assert wait == chance * min(1.0, 0.02 * 2.0 ** min(failures - 1, 60))


def test_any_length_is_as_likely():
    waits = [wait_s(3, base_s=0.02, longest_s=1.0, chance=lambda c=c: c / 4) for c in range(5)]
    assert waits == [0.0, 0.02, 0.04, 0.06, 0.08]
