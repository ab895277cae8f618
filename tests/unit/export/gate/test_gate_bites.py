"""A small classifier that is really trained, exported, and then broken in its ONNX file: each fault meets its rule."""

import json

import numpy as np
import pytest
from onnx_faults import (
    batch_mixed,
    head_halved,
    labels_swapped,
    mask_ignored,
    matrix_doubled,
    not_a_number,
    scale_doubled,
    three_bits,
)
from trained_classifier import QUALITY, TEXTS, asked, examples

from luxe.schema import Quality
from luxe_export import graph
from luxe_export.gate import measurement


def rules(measured):
    """The rules of the catalogue that a candidate breaks."""
    names = {
        "macro-F1 drop": "max_metric_drop",
        "macro-F1": "min_metric",
        "agreement with PyTorch": "min_agreement",
        "largest change against PyTorch": "max_change",
        "largest change in a batch": "max_batch_change",
        "rise of the calibration error": "max_calibration_error_rise",
    }
    found = measurement.findings(measured, QUALITY)
    return {next(rule for name, rule in names.items() if finding.startswith(name)) for finding in found}


def test_the_model_has_learned_something_that_can_be_lost(right):
    assert right.score > 0.75
    assert right.calibration_error < 0.1
    assert np.stack(right.outputs).max(axis=1).mean() > 0.65


def test_the_intact_graph_passes(measured, right):
    m = measured()
    assert measurement.findings(m, QUALITY) == []
    assert m.metric == right.score
    assert m.agreement == 1
    assert m.change < 1e-4
    assert m.batch_change < 1e-4
    assert m.metric_drop_interval == (0, 0)
    low, high = m.metric_interval
    assert low < m.metric < high
    assert m.rows == m.rows_alone == TEXTS
    assert m.file_bytes > 100_000
    assert 100_000 < m.memory_bytes < 500_000_000


@pytest.mark.parametrize(
    ("fault", "broken"),
    [
        (three_bits, {"max_change", "min_agreement"}),
        (labels_swapped, {"min_metric", "max_metric_drop", "min_agreement", "max_change"}),
        (head_halved, {"max_calibration_error_rise"}),
        (matrix_doubled, {"min_agreement"}),
    ],
)
def test_a_worse_model_is_caught(measured, fault, broken):
    assert broken <= rules(measured(fault))


@pytest.mark.parametrize("fault", [batch_mixed, mask_ignored])
def test_answers_that_depend_on_the_batch_are_caught_by_that_rule_alone(measured, fault):
    assert rules(measured(fault)) == {"max_batch_change"}


def test_padding_alone_is_caught(measured, original, tmp_path):
    same = [row for row in examples(np.random.default_rng(2), 200) if len(row["text"].split()) == 10]
    against = asked(original, tmp_path, [*same, *same])  # no batch of these has padding
    assert rules(measured(mask_ignored, against=against)) >= {"max_batch_change"}


def test_dynamic_int8_is_caught_by_the_batch_rule(measured, intact, tmp_path):
    from onnxruntime.quantization import QuantType, quantize_dynamic

    path = tmp_path / "dynamic.onnx"
    with graph.quiet():
        options = {"MatMulConstBOnly": True}
        quantize_dynamic(intact, path, weight_type=QuantType.QInt8, reduce_range=True, extra_options=options)
    m = measured(path=path)
    assert "max_batch_change" in rules(m)


def test_int8_that_is_right_passes(measured, int8):
    m = measured(path=int8)
    assert measurement.findings(m, QUALITY) == []
    assert m.change > 1e-4


def test_a_wrong_scale_of_int8_is_caught(measured, int8):
    assert "min_agreement" in rules(measured(scale_doubled, path=int8))


def test_what_is_not_a_number_breaks_every_rule(measured):
    m = measured(not_a_number)
    assert rules(m) == set(Quality.model_fields)
    assert json.dumps(m.to_json(), allow_nan=False)
