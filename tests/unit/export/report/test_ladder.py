"""The report's table of candidates: every number in its cell, and those that fail marked."""

import json
import math

import pytest
from report_facts import FAST, LATENCY, facts, read, verdict

from luxe_export.gate.latency import Latency, Shape
from luxe_export.report import view


def test_the_ladder_marks_the_number_that_fails(tmp_path):
    table = read(tmp_path, facts()).table("ladder")
    heads, bounds, pytorch, fp32, int8, dynamic, int4 = table
    assert {len(row) for row in table} == {len(heads)}
    agreement = [text for _, text in heads].index("agreement")
    assert bounds[agreement][1] == "≥ 0.98"
    assert pytorch[1][1] == "0.9010"
    assert dynamic[agreement] == ("n fails", "0.9000")
    assert [kind for row in (fp32, int8, int4) for kind, _ in row if "fails" in kind] == []
    assert [row[0][1] for row in (fp32, int8, dynamic, int4)] == [
        "fp32 passes",
        "int8 winsone scale a token",
        "int8-dynamic refused",
        "int4 refused",
    ]
    assert int8[1][1] == "0.90000.880…0.920"
    assert int8[2][1] == "+0.0010−0.002…+0.004"
    assert [text for _, text in int8[7:]] == ["3.90", "0.60×", "0.50×2 ms", "0.60×18 ms", "0.70×84 ms", "91.0", "146.5"]
    assert {text for _, text in int4[1:]} == {"–"}


@pytest.mark.parametrize(
    ("field", "value", "column"),
    [
        ("metric", 0.79, 0),
        ("metric_drop", 0.011, 1),
        ("agreement", 0.979, 2),
        ("change", 0.26, 3),
        ("batch_change", 0.011, 4),
        ("calibration_error_rise", 0.021, 5),
    ],
)
@pytest.mark.parametrize("broken", [False, True])
def test_each_rule_is_marked_in_its_own_cell(field, value, column, broken):
    spoilt = verdict("fp32", findings=["why"], **{field: math.nan if broken else value})
    given = json.loads(json.dumps(facts(spoilt, winner=None)))
    (line,) = view.ladder(given).lines
    assert [cell.fails for cell in line.cells] == [i == column for i in range(len(line.cells))]


def test_the_bounds_themselves_are_not_marked():
    bounds = {"metric": 0.8, "metric_drop": 0.01, "agreement": 0.98, "change": 0.25, "batch_change": 0.01}
    (line,) = view.ladder(facts(verdict("fp32", **bounds, calibration_error_rise=0.02), winner="fp32")).lines
    assert not any(cell.fails for cell in line.cells)


def test_a_candidate_stopped_early_says_how_many_rows_were_looked_at(tmp_path):
    stopped = verdict("int8-dynamic", findings=["stopped: why"], stopped="why", rows_alone=32, batch_change=0.5)
    page = read(tmp_path, facts(verdict("fp32", LATENCY), stopped, winner="fp32"))
    assert ("n fails", "0.500032 of 100 rows") in page.table("ladder")[4]


def test_without_fp32_times_are_in_milliseconds(tmp_path):
    alone = Latency(tuple(Shape(s.batch, s.tokens, s.ms, None) for s in FAST.shapes), 3.9, None)
    page = read(tmp_path, facts(verdict("int8", alone)))
    assert "3.90 ms a text, with a macro-F1" in " ".join(page.sections[""].split())
    assert page.table("ladder")[3][8][1] == "–"
