"""Rows of the training split, drawn for the calibration of static quantisation."""

import itertools

import numpy as np
import pytest
from evaluations import entry
from json_files import write_lines

from luxe.errors import UserError
from luxe_export.evaluation import calibration_rows


def test_calibration_rows_are_drawn_from_all_of_the_training_split(tmp_path):
    write_lines(tmp_path / "train.jsonl", [{"text": f"é{i}", "label": "a"} for i in range(1000)])
    drawn = list(calibration_rows(entry(), tmp_path, 200))
    assert drawn == list(calibration_rows(entry(), tmp_path, 200))
    assert drawn != list(calibration_rows(entry(), tmp_path, 200, seed=1))
    numbers = [int(text[1:]) for text in drawn]
    assert len(set(numbers)) == 200
    assert numbers != sorted(numbers)
    assert 400 < np.mean(numbers) < 600
    assert min(numbers) < 50 < 950 < max(numbers)


def test_a_small_training_split_is_used_whole(tmp_path):
    write_lines(tmp_path / "train.jsonl", [{"text": f"{i}"} for i in range(5)])
    assert sorted(calibration_rows(entry(), tmp_path, 200)) == list("01234")


def test_calibration_does_not_hold_the_data(tmp_path):
    write_lines(tmp_path / "train.jsonl", [{"text": "x"} for _ in range(100)] + [{"text": " "}])
    rows = calibration_rows(entry(), tmp_path, 101)
    assert list(itertools.islice(rows, 1)) == ["x"]  # the bad line is not read before it is reached
    with pytest.raises(UserError, match=r"train\.jsonl line 101"):
        list(rows)


@pytest.mark.parametrize(
    ("line", "said"),
    [('{"text": "\\ud83d"}', "half of a character"), ("[" * 100_000, "nested too deeply"), ("{}", "KeyError")],
)
def test_a_bad_calibration_row_is_named(tmp_path, line, said):
    (tmp_path / "train.jsonl").write_text(line)
    with pytest.raises(UserError, match=said) as refused:
        list(calibration_rows(entry(), tmp_path, 1))
    assert "train.jsonl line 1" in str(refused.value)


@pytest.mark.parametrize(
    ("model", "rows", "expected"),
    [
        (entry(text_pairs=True), [{"text": "x", "text_pair": "y"}], {("x", "y")}),
        (entry("text-ranking"), [{"query": "x", "document": "y"}], {("x", "y")}),
        (entry("feature-extraction"), [{"text": "x", "text_pair": "y"}] * 2, {"x", "y"}),
        (entry("feature-extraction"), [{"text": "x"}], {"x"}),
        (
            entry("zero-shot-classification", hypothesis_template="{}!"),
            [{"text": "x"}] * 3,
            {("x", "a!"), ("x", "b!"), ("x", "c!")},
        ),
    ],
)
def test_calibration_rows_are_those_of_the_engine(tmp_path, model, rows, expected):
    write_lines(tmp_path / "train.jsonl", rows)
    assert set(calibration_rows(model, tmp_path, 10)) == expected


@pytest.mark.parametrize("content", [None, ""])
def test_no_training_split(tmp_path, content):
    if content is not None:
        write_lines(tmp_path / "train.jsonl", [])
    with pytest.raises(UserError, match="calibrate static quantisation"):
        calibration_rows(entry(), tmp_path, 10)
