import pytest
from hypothesis import given
from hypothesis import strategies as st

from luxe_export.gpu.profiles import Profile, profiles, span

BATCHES = st.integers(1, 256)
LIMITS = st.integers(1, 512)


@st.composite
def cases(draw):
    longest = draw(LIMITS)
    # Beyond the limit too: the data is measured before it is cut.
    lengths = draw(st.lists(st.integers(0, 2 * longest), min_size=1, max_size=60))
    return lengths, draw(BATCHES), longest


@given(case=cases(), data=st.data())
def test_every_shape_within_the_limits_is_covered(case, data):
    lengths, max_batch, max_length = case
    batch, length = data.draw(st.integers(1, max_batch)), data.draw(st.integers(1, max_length))
    assert any(p.covers(batch, length) for p in profiles(lengths, max_batch, max_length))


@given(case=cases())
def test_no_shape_beyond_the_limits_is_covered(case):
    lengths, max_batch, max_length = case
    for profile in profiles(lengths, max_batch, max_length):
        assert not profile.covers(max_batch + 1, 1)
        assert not profile.covers(1, max_length + 1)
        assert not profile.covers(0, 1)


@given(case=cases())
def test_what_is_tuned_for_is_covered(case):
    for profile in profiles(*case):
        assert profile.covers(*profile.tuned)


@given(case=cases(), data=st.data())
def test_the_order_of_the_lengths_does_not_matter(case, data):
    lengths, max_batch, max_length = case
    shuffled = data.draw(st.permutations(lengths))
    assert profiles(shuffled, max_batch, max_length) == profiles(lengths, max_batch, max_length)


@given(case=cases())
def test_one_profile_covers_what_all_cover(case):
    given_profiles = profiles(*case)
    whole = span(given_profiles)
    assert whole.smallest == (1, 1)
    assert whole.largest == (case[1], case[2])
    assert whole.covers(*whole.tuned)


def test_short_and_long_texts_have_a_profile_each():
    short, whole = profiles([20] * 95 + [120] * 5, max_batch=32, max_length=128)
    assert short == Profile((1, 1), (32, 24), (32, 24))
    assert whole == Profile((1, 1), (32, 128), (32, 128))


def test_the_short_profile_is_tuned_for_the_typical_text():
    short, _ = profiles([10] * 60 + [50] * 35 + [120] * 5, max_batch=8, max_length=128)
    assert short.tuned == (8, 16)
    assert short.largest == (8, 56)


def test_texts_of_the_longest_length_have_one_profile():
    assert profiles([128] * 10, max_batch=8, max_length=128) == (Profile((1, 1), (8, 128), (8, 128)),)


@pytest.mark.parametrize(("lengths", "batch", "length"), [([], 8, 128), ([3], 0, 128), ([3], 8, 0)])
def test_nothing_to_choose_from(lengths, batch, length):
    with pytest.raises(ValueError, match="profiles need"):
        profiles(lengths, batch, length)


def test_a_profile_ascends():
    with pytest.raises(ValueError, match="ascending"):
        Profile((1, 1), (8, 64), (8, 32))
