"""Intervals of a metric and of a difference, from samples of the test set's units."""

import numpy as np
import pytest

from luxe_export.gate import bootstrap


def test_the_interval_is_that_of_samples_drawn_one_by_one(single, guesses):
    low, high = bootstrap.interval(bootstrap.resampled(single, guesses))
    chance = np.random.default_rng(7)
    slow = [single.score(guesses, chance.integers(60, size=60)) for _ in range(1000)]
    assert (low, high) == pytest.approx(np.percentile(slow, [2.5, 97.5]), abs=0.02)
    assert low < single.score(guesses) < high


def test_the_samples_are_always_the_same(single, guesses):
    assert (bootstrap.resampled(single, guesses) == bootstrap.resampled(single, guesses)).all()


def test_a_paired_difference_is_surer_than_two_intervals(single, guesses):
    other = [*guesses[:-1], guesses[-1][::-1].copy()]
    a, b = bootstrap.resampled(single, guesses), bootstrap.resampled(single, other)
    low, high = bootstrap.interval(a - b)
    assert high - low < 0.3 * np.subtract(*bootstrap.interval(a)[::-1])


def test_many_units_are_drawn_in_parts(single, guesses, monkeypatch):
    whole = bootstrap.resampled(single, guesses)
    monkeypatch.setattr(bootstrap, "_CELLS", 60 * 7)
    parts = bootstrap.resampled(single, guesses)
    assert parts.shape == whole.shape == (1000,)
    assert (parts == whole).all()
