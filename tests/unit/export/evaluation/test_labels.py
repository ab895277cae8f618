"""Texts and pairs with one label or several. scikit-learn is the oracle."""

import numpy as np
import pytest
from evaluations import entry, evaluation, probabilities, samples
from sklearn.metrics import f1_score


def test_macro_f1_is_scikit_learns(single, guesses):
    right, given = np.arange(60) % 3, np.stack(guesses).argmax(axis=1)
    assert single.metric == "macro-F1"
    assert single.score(guesses) == pytest.approx(f1_score(right, given, average="macro"))
    for units in samples(60):
        assert single.score(guesses, units) == pytest.approx(f1_score(right[units], given[units], average="macro"))


def test_the_calibration_error_is_the_mean_gap_of_ten_bins(single, guesses):
    claims = sorted((float(p.max()), p.argmax() == i % 3) for i, p in enumerate(guesses))
    gaps = [abs(sum(c - right for c, right in claims[i : i + 6])) for i in range(0, 60, 6)]
    assert single.calibration_error(guesses) == pytest.approx(sum(gaps) / 60)
    assert sum(b.count for b in single.reliability(guesses)) == 60


def test_one_label_agreement_change_and_confusion(tmp_path):
    own = evaluation(tmp_path, entry(), [{"text": "x", "label": "a"}, {"text": "y", "label": "b"}])
    before = probabilities([0.6, 0.3, 0.1], [0.1, 0.8, 0.1])
    after = probabilities([0.4, 0.5, 0.1], [0.1, 0.7, 0.2])
    assert own.agreement(before, after).tolist() == [0, 1]
    assert own.change(before, after) == pytest.approx([0.2, 0.1])
    assert own.confusion(after).tolist() == [[0, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert own.describe(after, 0) == "b 0.500"
    assert own.truth(0) == "a"


def test_pairs_of_texts(tmp_path):
    rows = [{"text": "x", "text_pair": "y", "label": "a"}, {"text": "x", "text_pair": "z", "label": "b"}]
    assert evaluation(tmp_path, entry(text_pairs=True), rows).rows == [("x", "y"), ("x", "z")]


def multi_label(folder, *labels):
    model = entry(problem_type="multi_label_classification")
    return evaluation(folder, model, [{"text": "x", "labels": list(own)} for own in labels])


def test_several_labels_macro_f1_is_scikit_learns(tmp_path):
    chance = np.random.default_rng(2)
    right = chance.random((50, 3)) < 0.4
    own = multi_label(tmp_path, *([label for label, y in zip("abc", row, strict=True) if y] for row in right))
    given = chance.random((50, 3)).astype(np.float32)
    for units in [np.arange(50), *samples(50)]:
        expected = f1_score(right[units], given[units] >= 0.5, average="macro")
        assert own.score(list(given), units) == pytest.approx(expected)


def test_a_label_without_positives_does_not_count(tmp_path):
    own = multi_label(tmp_path, "a", "b", "ab")
    good = probabilities([0.9, 0.1, 0.1], [0.1, 0.9, 0.1], [0.9, 0.9, 0.1])
    alarm = probabilities([0.9, 0.1, 0.1], [0.1, 0.9, 0.1], [0.9, 0.9, 0.6])
    assert own.score(good) == own.score(alarm) == 1
    assert own.agreement(good, alarm).tolist() == [1, 1, 0]
    assert own.change(good, alarm) == pytest.approx([0, 0, 0.5])
    assert own.describe(alarm, 2) == "a 0.900, b 0.900, c 0.600"


def test_several_labels_calibration_counts_yes_and_no(tmp_path):
    own = multi_label(tmp_path, "a", "a")
    assert own.calibration_error(probabilities([1, 0, 0], [1, 0, 0])) == 0
    assert own.calibration_error(probabilities([0, 1, 1], [0, 1, 1])) == 1
