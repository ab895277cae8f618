"""Texts with numbers. SciPy is the oracle."""

import math

import numpy as np
import pytest
from evaluations import entry, evaluation, probabilities, samples
from scipy.stats import spearmanr


def test_regression_is_spearman_with_ties(tmp_path):
    chance = np.random.default_rng(3)
    right = chance.integers(5, size=(40, 2)).astype(float)
    model = entry(problem_type="regression", labels=("x", "y"))
    own = evaluation(tmp_path, model, [{"text": "t", "label": row.tolist()} for row in right])
    given = (right + chance.normal(size=(40, 2)).round()).astype(np.float32)
    for units in [np.arange(40), *samples(40)]:
        expected = np.mean([spearmanr(right[units, i], given[units, i]).statistic for i in range(2)])
        assert own.score(list(given), units) == pytest.approx(expected)
    assert own.calibration_error(list(given)) is None


def test_regression_changes_in_standard_deviations_of_the_reference(tmp_path):
    model = entry(problem_type="regression", labels=("x",))
    own = evaluation(tmp_path, model, [{"text": "t", "label": i} for i in range(4)])
    before = probabilities([0], [10], [0], [10])  # standard deviation 5
    after = probabilities([0], [11], [0], [10.4])
    assert own.change(before, after) == pytest.approx([0, 0.2, 0, 0.08])
    assert own.agreement(before, after).tolist() == [1, 0, 1, 1]
    other = probabilities([0], [100], [0], [100])
    assert own.change(before, after, other) == pytest.approx([0, 0.02, 0, 0.008])


def test_what_always_says_the_same_has_no_rank_correlation(tmp_path):
    model = entry(problem_type="regression", labels=("x",))
    own = evaluation(tmp_path, model, [{"text": "t", "label": i} for i in range(4)])
    assert math.isnan(own.score(probabilities([1], [1], [1], [1])))
    assert own.change(probabilities([1], [1], [1], [1]), probabilities([1], [2], [1], [1])).tolist() == [
        0,
        math.inf,
        0,
        0,
    ]
