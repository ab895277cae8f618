import dataclasses
import json

import numpy as np
import pytest
from text_models import LABELS, SETTINGS, column, table

from luxe_serving.limits import MAX_CANDIDATE_LABELS
from luxe_serving.text import questions
from luxe_serving.text.questions import InvalidText
from luxe_serving.text.settings import Settings

PAIRS = dataclasses.replace(SETTINGS, text_pairs=True)
RANKING = dataclasses.replace(SETTINGS, task="text-ranking", labels=())
ZERO_SHOT = dataclasses.replace(SETTINGS, task="zero-shot-classification", labels=())


def candidates(*rows):
    return table(rows, width=len(rows[0]) if rows else 0)


def refusal(settings, arrays):
    with pytest.raises(InvalidText) as caught:
        questions.read(settings, arrays)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_settings_survive_the_file(tmp_path):
    written = dataclasses.replace(ZERO_SHOT, entailment_id=2, contradiction_id=0)
    for one in (SETTINGS, written):
        (tmp_path / "luxe.json").write_text(one.to_json(), encoding="utf-8")
        assert Settings.read(tmp_path / "luxe.json") == one
    assert json.loads(SETTINGS.to_json())["labels"] == list(LABELS)
    assert json.loads(SETTINGS.to_json())["entailment_id"] is None


@pytest.mark.parametrize("task", ["text-classification", "token-classification", "feature-extraction"])
def test_single_texts(task):
    question = questions.read(dataclasses.replace(SETTINGS, task=task), {"text": column(["w1", "café"])})
    assert question.rows == ["w1", "café"]
    assert question.rows_per_text == 1


@pytest.mark.parametrize("settings", [PAIRS, RANKING])
def test_pairs(settings):
    arrays = {"text": column(["w1", "w2"]), "text_pair": column(["w3", "w4"])}
    assert questions.read(settings, arrays).rows == [("w1", "w3"), ("w2", "w4")]


def test_every_text_has_candidate_labels_of_its_own():
    labels = candidates(["sad", "glad {}"], ["new", "old"])
    question = questions.read(ZERO_SHOT, {"text": column(["w1", "w2"]), "candidate_labels": labels})
    assert question.rows == [
        ("w1", "w30 sad w31"),
        ("w1", "w30 glad {} w31"),
        ("w2", "w30 new w31"),
        ("w2", "w30 old w31"),
    ]
    assert question.rows_per_text == 2
    assert question.multi_label == [False, False]


def test_multi_label_by_text():
    arrays = {"text": column(["w1", "w2"]), "candidate_labels": candidates(["a"], ["b"])}
    question = questions.read(ZERO_SHOT, {**arrays, "multi_label": np.array([[True], [False]])})
    assert question.multi_label == [True, False]


@pytest.mark.parametrize(
    ("settings", "arrays", "reason"),
    [
        (SETTINGS, {}, "the request has no text"),
        (SETTINGS, {"text": column([])}, "the request has no texts"),
        (SETTINGS, {"text": column(["w1", " "])}, "text 1 is empty"),
        (PAIRS, {"text": column(["w1"])}, "the request has no text_pair"),
        (PAIRS, {"text": column(["w1"]), "text_pair": column([""])}, "text_pair 0 is empty"),
        (PAIRS, {"text": column([b"\xff"]), "text_pair": column(["w1"])}, "text 0 is not UTF-8 (byte 0)"),
        (RANKING, {"text": column(["w1"]), "text_pair": column([b"w\xff"])}, "text_pair 0 is not UTF-8 (byte 1)"),
        (
            RANKING,
            {"text": column(["w1"]), "text_pair": column(["x" * 201])},
            "text_pair 0 has 201 bytes; this model takes at most 200",
        ),
        (
            RANKING,
            {"text": column(["w1", "w2"]), "text_pair": column(["w3"])},
            "the request has 2 texts and 1 text_pairs; each text needs its own",
        ),
        (ZERO_SHOT, {"text": column(["w1"])}, "the request has no candidate_labels"),
        (
            ZERO_SHOT,
            {"text": column(["w1"]), "candidate_labels": table([[]], width=0)},
            "the request has no candidate labels",
        ),
        (
            ZERO_SHOT,
            {"text": column(["w1", "w2"]), "candidate_labels": candidates(["a", "b"])},
            "candidate_labels has shape [1, 2]; 2 texts need [2, labels of each]",
        ),
        (
            ZERO_SHOT,
            {"text": column(["w1"]), "candidate_labels": candidates(["a", "b"])[0]},
            "candidate_labels has shape [2]; 1 texts need [1, labels of each]",
        ),
        (
            ZERO_SHOT,
            {"text": column(["w1", "w2"]), "candidate_labels": candidates(["a", "b"], ["c", "c "])},
            "text 1: candidate label 1 is the same as 0; labels must differ",
        ),
        (
            ZERO_SHOT,
            {"text": column(["w1", "w2"]), "candidate_labels": candidates(["a", "b"], ["c", ""])},
            "text 1: candidate label 1 is empty",
        ),
        (
            ZERO_SHOT,
            {"text": column(["w1"]), "candidate_labels": candidates([b"a\xe9"])},
            "text 0: candidate label 0 is not UTF-8 (byte 1)",
        ),
        (
            ZERO_SHOT,
            {"text": column(["w1"]), "candidate_labels": candidates([f"c{i}" for i in range(65)])},
            "the request has 65 candidate labels a text; this model takes at most 64",
        ),
        (
            ZERO_SHOT,
            {"text": column(["w1"] * 2), "candidate_labels": candidates(*[[f"c{i}" for i in range(33)]] * 2)},
            "the request has 2 texts with 33 candidate labels each, 66 pairs; "
            "this model takes at most 64 pairs: send fewer texts at a time",
        ),
        (
            ZERO_SHOT,
            {
                "text": column(["w1", "w2"]),
                "candidate_labels": candidates(["a"], ["b"]),
                "multi_label": np.array([[True]]),
            },
            "multi_label has 1 values for 2 texts",
        ),
    ],
)
def test_a_refusal_says_what_and_where(settings, arrays, reason):
    assert refusal(settings, arrays) == reason


def test_the_most_rows_of_a_request():
    assert questions.max_rows(dataclasses.replace(SETTINGS, max_batch_size=32)) == 256
    # One text with as many labels as there may be is always taken.
    assert questions.max_rows(dataclasses.replace(SETTINGS, max_batch_size=1)) == MAX_CANDIDATE_LABELS
    labels = candidates([f"c{i}" for i in range(64)])
    assert len(questions.read(ZERO_SHOT, {"text": column(["w1"]), "candidate_labels": labels}).rows) == 64
    wide = dataclasses.replace(ZERO_SHOT, max_batch_size=32)
    full = {"text": column(["w1"] * 32), "candidate_labels": candidates(*[[f"c{i}" for i in range(8)]] * 32)}
    assert len(questions.read(wide, full).rows) == 256
