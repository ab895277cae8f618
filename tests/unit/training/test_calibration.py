import numpy as np
import pytest

from luxe_training import calibration
from luxe_training.calibration import fit_temperature, softmax


def expected_calibration_error(probabilities, labels, bins=10):
    right = probabilities.argmax(axis=1) == labels
    return calibration.expected_calibration_error(calibration.reliability(probabilities.max(axis=1), right, bins=bins))


def sample(probabilities, rng):
    """Draw a label for every row, as likely as the row says."""
    return (probabilities.cumsum(axis=1) > rng.random((len(probabilities), 1))).argmax(axis=1)


def test_softmax():
    np.testing.assert_allclose(softmax(np.log([[1.0, 2.0, 5.0]])), [[0.125, 0.25, 0.625]])
    assert softmax(np.array([[1e4, 0.0]], dtype=np.float32)).tolist() == [[1.0, 0.0]]
    assert softmax(np.array([[1.0, 2.0]], dtype=np.float32)).dtype == np.float64


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5, 6.0])
def test_a_known_temperature_is_recovered(temperature):
    rng = np.random.default_rng(5)
    calibrated = rng.normal(scale=2.0, size=(8000, 5))
    labels = sample(softmax(calibrated), rng)
    assert fit_temperature(calibrated * temperature, labels) == pytest.approx(temperature, rel=0.06)


def test_no_other_temperature_is_more_likely():
    rng = np.random.default_rng(6)
    logits = rng.normal(scale=4.0, size=(500, 4))
    labels = sample(softmax(logits / 3.0), rng)

    def likelihood(t):
        return np.log(softmax(logits / t)[np.arange(500), labels]).mean()

    fitted = fit_temperature(logits, labels)
    assert all(likelihood(fitted) >= likelihood(t) - 1e-9 for t in np.geomspace(0.06, 20, 400))


def test_fitting_calibrates():
    rng = np.random.default_rng(7)
    calibrated = rng.normal(scale=1.5, size=(4000, 3))
    logits, labels = calibrated * 4.0, sample(softmax(calibrated), rng)
    before = expected_calibration_error(softmax(logits), labels)
    after = expected_calibration_error(softmax(logits / fit_temperature(logits, labels)), labels)
    assert after < 0.05 < before


def answers(confidence, right, count):
    """``count`` answers of one confidence, of which the share ``right`` is right."""
    probabilities = np.tile([confidence, 1 - confidence], (count, 1))
    return probabilities, np.where(np.arange(count) < round(right * count), 0, 1)


def test_a_perfectly_calibrated_set_has_no_error():
    parts = [answers(confidence, confidence, 100) for confidence in (0.6, 0.7, 0.8, 0.9, 1.0)]
    probabilities, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
    assert expected_calibration_error(probabilities, labels, bins=5) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(("confidence", "right"), [(0.99, 0.6), (1.0, 0.5), (0.6, 0.95)])
def test_a_badly_calibrated_set_has_its_gap_as_error(confidence, right):
    error = expected_calibration_error(*answers(confidence, right, 200), bins=1)
    assert error == pytest.approx(abs(confidence - right))


def test_gaps_of_opposite_sign_do_not_cancel():
    over, under = answers(0.9, 0.8, 100), answers(0.6, 0.7, 100)
    probabilities, labels = (np.concatenate(part) for part in zip(over, under, strict=True))
    assert expected_calibration_error(probabilities, labels, bins=2) == pytest.approx(0.1)


def test_fewer_answers_than_bins():
    error = expected_calibration_error(*answers(0.75, 1.0, 3), bins=10)
    assert error == pytest.approx(0.25)


def test_no_answers_have_no_error():
    bins = calibration.reliability(np.array([]), np.array([], dtype=bool))
    assert bins == () and calibration.expected_calibration_error(bins) == 0


def test_bins_are_of_equal_count_and_rise():
    confidence = np.random.default_rng(8).random(103)
    bins = calibration.reliability(confidence, confidence > 0.5)
    assert [b.count for b in bins] == [11, 11, 11, *[10] * 7]
    assert [b.confidence for b in bins] == sorted(b.confidence for b in bins)
    assert sum(b.accuracy * b.count for b in bins) == pytest.approx((confidence > 0.5).sum())
