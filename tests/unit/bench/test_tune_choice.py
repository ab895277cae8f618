"""Which setting `luxe tune` prefers."""

import pytest
from tune_figures import measured

from luxe_bench.tune.choice import GAIN, best, faster, hopeless, ratio
from luxe_bench.tune.knobs import Knobs

OTHER, THIRD = Knobs(1, 2, 16, 0), Knobs(1, 1, 16, 0)


def test_rounds_are_compared_with_each_other():
    """A machine that slows down threefold in the middle changes no ratio."""
    current, other = measured(per_s=(300, 100, 90)), measured(OTHER, (330, 110, 99))
    assert ratio(other, current) == pytest.approx(1.1)
    assert ratio(measured(OTHER, (330,)), current) == pytest.approx(1.1), "it took part in one round only"


def test_the_median_of_the_rounds_counts():
    current = measured(per_s=(100,) * 5)
    assert best(current, [measured(OTHER, (300, 300, 102, 101, 99))]) is current
    assert best(current, [measured(OTHER, (103.5, 103.6, 103.7, 102, 102))]).knobs == OTHER


@pytest.mark.parametrize(
    ("per_s", "wins"),
    [
        ((104, 105, 106, 107, 108), True),
        ((112, 96, 112, 112, 97), False),  # 1.12 in the median
        ((128, 121, 96, 119, 80), False),  # seen where nothing was faster
        ((128, 121, 117, 119, 120), True),
        ((110,), True),  # nothing is known of the noise
    ],
)
def test_a_restless_machine_needs_a_larger_gain(per_s, wins):
    """Twice the standard error of the rounds' ratios."""
    assert faster(measured(OTHER, per_s), measured(per_s=(100,) * 5)) is wins


@pytest.mark.parametrize(("per_s", "wins"), [(104, True), (100 * GAIN, False), (100, False), (90, False)])
def test_what_lies_within_the_noise_changes_nothing(per_s, wins):
    current, other = measured(per_s=(100,) * 3), measured(OTHER, (per_s,) * 3)
    assert best(current, [other]) is (other if wins else current)


def test_the_fastest_wins():
    current = measured(per_s=(100, 100))
    challengers = [measured(OTHER, (120, 120)), measured(THIRD, (130, 130))]
    assert best(current, challengers).knobs == THIRD
    assert best(current, challengers[::-1]).knobs == THIRD


def test_a_setting_that_misses_the_slo_never_wins_over_one_that_keeps_it():
    fast, slow = measured(OTHER, (900, 900), met=False), measured(THIRD, (10, 10))
    current = measured(per_s=(100, 100))
    assert best(current, [fast, slow]) is current
    assert best(measured(per_s=(100, 100), met=False), [fast, slow]) is slow


def test_where_none_keeps_the_slo_nothing_changes():
    current = measured(per_s=(100,), met=False)
    assert best(current, [measured(OTHER, (900,), met=False)]) is current


def test_a_setting_that_leaves_callers_unanswered_misses_the_slo():
    current, other = measured(per_s=(100,)), measured(OTHER, (200,), answered=99)
    assert other.unanswered == 1 and not other.met
    assert best(current, [other]) is current


@pytest.mark.parametrize(
    ("per_s", "met", "current_met", "expected"),
    [
        ((50,), True, True, False),  # a single round may be bad luck
        ((89, 89), True, True, True),
        ((89, 95), True, True, False),
        ((89, 89, 89), True, True, True),
        ((150, 150), False, True, True),
        ((89, 89), True, False, False),  # it may be the only one that keeps the SLO
    ],
)
def test_who_has_no_hope_is_not_measured_further(per_s, met, current_met, expected):
    current = measured(per_s=(100,) * 3, met=current_met)
    assert hopeless(measured(OTHER, per_s, met=met), current) is expected


def test_a_current_setting_that_answered_nothing_is_beaten():
    current = measured(per_s=(0.0, 0.0), answered=0)
    other = measured(OTHER, (50, 50))
    assert ratio(other, current) is None
    assert best(current, [other, measured(THIRD, (60, 60))]).knobs == THIRD
