import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from luxe_serving.scheduling.cost import CostModel, Run, fit
from luxe_serving.text.padded import shapes

SHAPES = shapes(128, 16)
SECONDS = st.floats(1e-5, 10.0)
RUNS = st.lists(st.builds(Run, st.integers(1, 32), st.integers(1, 512), SECONDS), min_size=1, max_size=40)
COSTS = st.builds(CostModel, st.floats(1e-5, 1e-1), st.floats(1e-6, 1e-3), st.floats(0.0, 1e-5))


def terms(runs):
    return np.array([(1.0, r.batch * r.length, r.batch * r.length**2) for r in runs])


def relative_error(cost, runs):
    found = terms(runs) @ [cost.per_run, cost.per_token, cost.per_pair]
    return np.square(found / [r.seconds for r in runs] - 1).sum()


def test_seconds():
    cost = CostModel(per_run=1.0, per_token=0.1, per_pair=0.01)
    assert cost.seconds(3, 10) == pytest.approx(1.0 + 3 * 10 * 0.1 + 3 * 100 * 0.01)
    assert cost.alone(10) == pytest.approx(2.0)
    assert cost.alone(0) == 0.0


@settings(max_examples=100, deadline=None)
@given(cost=COSTS)
def test_exact_times_give_their_model(cost):
    found = fit([Run(b, n, cost.seconds(b, n)) for b, n in SHAPES])
    for batch, length in [*SHAPES, (5, 77)]:
        assert found.seconds(batch, length) == pytest.approx(cost.seconds(batch, length), rel=1e-6)
    assert found.per_run == pytest.approx(cost.per_run, rel=1e-3)


@settings(max_examples=100, deadline=None)
@given(cost=COSTS, seed=st.integers(0, 2**32 - 1))
def test_noise_does_not_mislead(cost, seed):
    noise = 1 + np.random.default_rng(seed).uniform(-0.05, 0.05, len(SHAPES))
    found = fit([Run(b, n, cost.seconds(b, n) * k) for (b, n), k in zip(SHAPES, noise, strict=True)])
    for batch, length in SHAPES:
        assert found.seconds(batch, length) == pytest.approx(cost.seconds(batch, length), rel=0.1)


def test_the_coefficients_are_found_through_noise():
    cost = CostModel(2e-3, 5e-5, 1e-7)
    noise = 1 + np.random.default_rng(3).uniform(-0.02, 0.02, len(SHAPES))
    found = fit([Run(b, n, cost.seconds(b, n) * k) for (b, n), k in zip(SHAPES, noise, strict=True)])
    assert found.per_run == pytest.approx(2e-3, rel=0.1)
    assert found.per_token == pytest.approx(5e-5, rel=0.1)
    assert found.per_pair == pytest.approx(1e-7, rel=0.3)


@settings(max_examples=300, deadline=None)
@given(runs=RUNS)
def test_no_term_is_negative_and_a_token_is_never_free(runs):
    found = fit(runs)
    assert found.per_run >= 0
    assert found.per_token > 0
    assert found.per_pair >= 0


@settings(max_examples=300, deadline=None)
@given(runs=RUNS)
def test_nothing_fits_better(runs):
    """Against the textbook's way, which may make tokens free."""
    scaled = terms(runs) / np.array([r.seconds for r in runs])[:, None]
    # The columns are of very unlike size, which the library's tolerances do not expect.
    size = np.linalg.norm(scaled, axis=0)
    right = nnls(scaled / size, np.ones(len(runs)))[0] / size
    assert relative_error(fit(runs), runs) <= relative_error(CostModel(*right), runs) * (1 + 1e-6) + 1e-3 * len(runs)


def test_errors_are_relative():
    """A run of 15 ms among runs of 10 ms is off by a third of itself, not by half of theirs."""
    per_second = np.array([1 / 0.001] * 3 + [1 / 0.0015])
    alone = fit([Run(1, 10, 0.01)] * 3 + [Run(1, 10, 0.015)])
    assert alone.seconds(1, 10) == pytest.approx(10 * per_second.sum() / np.square(per_second).sum(), rel=1e-6)


@pytest.mark.parametrize("seed", range(20))
def test_an_engine_that_only_launches(seed):
    """On a GPU small shapes take the same time, and noise makes a token look cheaper than nothing."""
    noise = 1 + np.random.default_rng(seed).uniform(-0.02, 0.02, len(SHAPES))
    found = fit([Run(b, n, 1e-3 * k) for (b, n), k in zip(SHAPES, noise, strict=True)])
    assert found.per_token > 0
    for batch, length in SHAPES:
        assert found.seconds(batch, length) == pytest.approx(1e-3, rel=0.05)


def test_one_run_is_enough():
    assert fit([Run(2, 8, 0.004)]).seconds(2, 8) == pytest.approx(0.004)


@pytest.mark.parametrize("runs", [[], [Run(1, 8, 0.0)], [Run(1, 8, 0.001), Run(2, 8, -0.001)]])
def test_times_that_say_nothing(runs):
    with pytest.raises(ValueError, match="took time"):
        fit(runs)
