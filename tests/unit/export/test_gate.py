import dataclasses
import math

import pytest

from luxe.catalog import Quality
from luxe_export.gate import Measurement, findings

QUALITY = Quality(
    min_macro_f1=0.8,
    max_macro_f1_drop=0.01,
    min_label_agreement=0.98,
    max_probability_change=0.1,
    max_batch_probability_change=0.02,
)
GOOD = Measurement(
    candidate="int8",
    macro_f1=0.9,
    macro_f1_drop=-0.05,
    label_agreement=0.99,
    max_probability_change=0.05,
    max_batch_probability_change=0.001,
    file_bytes=1000,
)
BAD = {
    "macro_f1": (0.79, "macro-F1 0.7900 is under 0.8"),
    "macro_f1_drop": (0.02, "macro-F1 drop 0.0200 is over 0.01"),
    "label_agreement": (0.97, "label agreement 0.9700 is under 0.98"),
    "max_probability_change": (0.11, "largest probability change 0.1100 is over 0.1"),
    "max_batch_probability_change": (0.03, "largest probability change in a batch 0.0300 is over 0.02"),
}


def measured(**changes):
    return findings(dataclasses.replace(GOOD, **changes), QUALITY)


def test_a_good_candidate_passes():
    assert measured() == []


def test_the_bounds_themselves_pass():
    assert (
        measured(
            macro_f1=0.8,
            macro_f1_drop=0.01,
            label_agreement=0.98,
            max_probability_change=0.1,
            max_batch_probability_change=0.02,
        )
        == []
    )


@pytest.mark.parametrize("rule", BAD)
def test_each_rule_bites_alone(rule):
    value, finding = BAD[rule]
    assert measured(**{rule: value}) == [finding]


@pytest.mark.parametrize("rule", BAD)
def test_what_is_not_a_number_fails(rule):
    (finding,) = measured(**{rule: math.nan})
    assert "nan" in finding


def test_all_findings_are_named():
    assert measured(**{rule: value for rule, (value, _) in BAD.items()}) == [text for _, text in BAD.values()]


def test_there_is_a_rule_for_every_bound_of_the_catalogue():
    assert len(BAD) == len(Quality.model_fields)
    assert set(BAD) == {f.name for f in dataclasses.fields(Measurement)} - {"candidate", "file_bytes"}
