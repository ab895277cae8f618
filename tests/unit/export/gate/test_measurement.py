import dataclasses
import json
import math

import pytest
from measurements import GOOD

from luxe.schema import Quality
from luxe_export.gate.measurement import findings

QUALITY = Quality(
    min_metric=0.8,
    max_metric_drop=0.01,
    min_agreement=0.98,
    max_change=0.1,
    max_batch_change=0.02,
    max_calibration_error_rise=0.03,
)
# It is better than PyTorch, and near to it.
NEAR = dataclasses.replace(
    GOOD, metric_drop=-0.05, metric_drop_interval=(-0.06, -0.04), agreement=0.99, batch_change=0.001
)
# Rule of the catalogue: field, a value beyond the bound, and what is said of it.
RULES = {
    "min_metric": ("metric", 0.79, "macro-F1 0.7900 is under 0.8"),
    "max_metric_drop": ("metric_drop", 0.02, "macro-F1 drop 0.0200 is over 0.01"),
    "min_agreement": ("agreement", 0.97, "agreement with PyTorch 0.9700 is under 0.98"),
    "max_change": ("change", 0.11, "largest change against PyTorch 0.1100 is over 0.1"),
    "max_batch_change": ("batch_change", 0.03, "largest change in a batch 0.0300 is over 0.02"),
    "max_calibration_error_rise": (
        "calibration_error_rise",
        0.04,
        "rise of the calibration error 0.0400 is over 0.03",
    ),
}


def measured(**changes):
    return findings(dataclasses.replace(NEAR, **changes), QUALITY)


def test_a_good_candidate_passes():
    assert measured() == []


def test_the_bounds_themselves_pass():
    assert measured(**{field: getattr(QUALITY, rule) for rule, (field, _, _) in RULES.items()}) == []


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_bites_alone(rule):
    field, value, finding = RULES[rule]
    assert measured(**{field: value}) == [finding]


@pytest.mark.parametrize("rule", RULES)
def test_what_is_not_a_number_fails(rule):
    (finding,) = measured(**{RULES[rule][0]: math.nan})
    assert "nan" in finding


def test_all_findings_are_named():
    assert measured(**{field: value for field, value, _ in RULES.values()}) == [text for _, _, text in RULES.values()]


def test_there_is_a_rule_for_every_bound_of_the_catalogue():
    assert set(RULES) == set(Quality.model_fields)


def test_answers_that_are_no_probabilities_have_no_calibration_to_keep():
    assert measured(calibration_error=None, calibration_error_rise=None) == []


def test_a_stopped_candidate_says_so_first_and_what_was_seen():
    found = measured(stopped="stopped: why", change=0.5, batch_change=0.3)
    assert found == [
        "stopped: why",
        "largest change against PyTorch 0.5000 is over 0.1",
        "largest change in a batch, of those seen, 0.3000 is over 0.02",
    ]


def test_a_stopped_candidate_never_passes():
    assert measured(stopped="stopped: why") == ["stopped: why"]


def test_the_manifest_takes_what_is_not_a_number():
    broken = dataclasses.replace(NEAR, metric=math.nan, metric_interval=(math.nan, math.inf))
    written = json.loads(json.dumps(broken.to_json(), allow_nan=False))
    assert written["metric"] is None
    assert written["metric_interval"] == [None, None]
    assert written["agreement"] == 0.99
