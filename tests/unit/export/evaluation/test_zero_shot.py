"""Texts asked for every label by a hypothesis: entailments are compared."""

import numpy as np
import pytest
from evaluations import entry, evaluation, probabilities


@pytest.fixture
def zero_shot(tmp_path):
    model = entry("zero-shot-classification", hypothesis_template="This is {}.")
    return evaluation(tmp_path, model, [{"text": "x", "label": "a"}, {"text": "y", "label": "c"}])


def test_zero_shot_asks_for_every_label(zero_shot):
    assert zero_shot.units == 2
    assert zero_shot.rows[:4] == [("x", "This is a."), ("x", "This is b."), ("x", "This is c."), ("y", "This is a.")]


def test_zero_shot_compares_entailments(zero_shot):
    logits = probabilities([0, 0, 3], [9, 0, 1], [9, 0, 0], [0, 0, 1], [0, 0, 2], [0, 0, 1])
    assert zero_shot.score(logits) == pytest.approx(0.5)  # "a" found, "c" missed
    expected = np.exp([3, 1, 0]) / np.exp([3, 1, 0]).sum()
    assert zero_shot.probabilities(logits)[0] == pytest.approx(expected)
    other = [*logits[:3], *probabilities([0, 0, 1], [0, 0, 1], [0, 0, 2])]
    assert zero_shot.agreement(logits, other).tolist() == [1, 0]
    change = zero_shot.change(logits, other)
    assert change.shape == (6,)
    assert (change[:4] < 1e-7).all()
    assert change[4] == change[5] > 0.3
    assert zero_shot.describe(logits, 4).startswith("b 0.")
