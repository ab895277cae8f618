"""Test sets that cannot be used: a bad line is named, and so is data that can judge nothing."""

import math

import pytest
from evaluations import ENTITY_CLASSES, entry, evaluation, source

from luxe.errors import UserError
from luxe_export.evaluation import load


@pytest.mark.parametrize(
    ("model", "row", "said"),
    [
        (entry(), {"text": "x"}, "KeyError('label')"),
        (entry(), {"text": " ", "label": "a"}, '"text" is empty'),
        (entry(), {"text": "x \ud83d", "label": "a"}, "holds \\ud83d, half of a character"),
        (entry("text-ranking"), {"query": "x", "document": "\udc00", "label": 1}, '"document" holds \\udc00'),
        (entry(), {"text": "x", "label": "d"}, "'d' is not one of the catalogue's a, b, c"),
        (entry(text_pairs=True), {"text": "x", "label": "a"}, "text_pair"),
        (entry(problem_type="multi_label_classification"), {"text": "x", "labels": "a"}, "list of names"),
        (entry(problem_type="multi_label_classification"), {"text": "x", "labels": ["z"]}, "a, b, c"),
        (entry(problem_type="regression", labels=("x",)), {"text": "x", "label": "1"}, "must be a number"),
        (entry(problem_type="regression", labels=("x",)), {"text": "x", "label": True}, "must be a number"),
        (entry(problem_type="regression", labels=("x",)), {"text": "x", "label": 10**400}, "must be a number"),
        (entry(problem_type="regression", labels=("x",)), {"text": "x", "label": [1, 2]}, "1 number"),
        (entry("feature-extraction"), {"text": "x", "text_pair": "y", "score": math.nan}, "must be a number"),
        (entry("text-ranking"), {"query": "x", "document": "y", "label": -1}, "0 or more"),
        (
            entry("token-classification", labels=ENTITY_CLASSES),
            {"text": "x", "entities": [{"start": 0, "end": 2, "label": "PER"}]},
            "1 characters, not 0:2",
        ),
        (
            entry("token-classification", labels=ENTITY_CLASSES),
            {"text": "x", "entities": [{"start": 0, "end": 1, "label": "B-PER"}]},
            "PER, LOC",
        ),
    ],
)
def test_a_bad_line_is_named(tmp_path, model, row, said):
    with pytest.raises(UserError) as refused:
        evaluation(tmp_path, model, [row])
    assert said in str(refused.value)
    assert f"{tmp_path.name}/test.jsonl line 1" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("model", "row", "said"),
    [
        (entry(problem_type="multi_label_classification"), {"text": "x", "labels": []}, "no text has a label"),
        (entry(problem_type="regression", labels=("x",)), {"text": "x", "label": 1}, "is the same"),
        (entry("feature-extraction"), {"text": "x", "text_pair": "y", "score": 1}, "is the same"),
        (entry("token-classification", labels=ENTITY_CLASSES), {"text": "x", "entities": []}, "no text has an entity"),
        (entry("text-ranking"), {"query": "x", "document": "y", "label": 1}, "a better and a worse"),
    ],
)
def test_data_that_can_judge_nothing(tmp_path, model, row, said):
    with pytest.raises(UserError, match=said):
        evaluation(tmp_path, model, [row, row])


def test_no_test_split(tmp_path):
    with pytest.raises(UserError, match=r"test\.jsonl: No such file"):
        load(entry(), tmp_path, source())
