"""Texts with entities: exact spans and labels, counted over all texts together."""

import numpy as np
import pytest
from evaluations import ENTITY_CLASSES, entry, evaluation


@pytest.fixture
def people(tmp_path):
    rows = [
        {
            "text": "Anna lives in New York.",
            "entities": [{"start": 0, "end": 4, "label": "PER"}, {"start": 14, "end": 22, "label": "LOC"}],
        },
        {"text": "This is Paris", "entities": [{"start": 8, "end": 13, "label": "LOC"}]},
    ]
    return evaluation(tmp_path, entry("token-classification", labels=ENTITY_CLASSES), rows)


def tags(*names, sure=0.9):
    """Probabilities [T, 5] of a text, with a token before and one after that are none of it."""
    rows = np.full((len(names) + 2, 5), (1 - sure) / 4, dtype=np.float32)
    for i, name in enumerate(["O", *names, "O"]):
        rows[i, ENTITY_CLASSES.index(name)] = sure
    return rows


RIGHT = (("B-PER", "O", "O", "B-LOC", "I-LOC", "O"), ("O", "O", "B-LOC"))


def test_entities_that_are_right(people):
    assert people.score([tags(*names) for names in RIGHT]) == 1
    assert people.describe([tags(*names) for names in RIGHT], 0) == "PER 'Anna' 0.900, LOC 'New York' 0.900"
    assert people.truth(1) == "LOC 'Paris'"


def test_entities_need_the_exact_span_and_the_label(people):
    cut = [tags("B-PER", "O", "O", "O", "B-LOC", "O"), tags(*RIGHT[1])]  # York, not New York
    renamed = [tags("B-LOC", "O", "O", "B-LOC", "I-LOC", "O"), tags(*RIGHT[1])]
    for given in (cut, renamed):
        assert people.score(given) == pytest.approx(2 / 3)
        assert people.agreement([tags(*names) for names in RIGHT], given).tolist() == [0.5, 1]


def test_entity_f1_counts_all_texts_together(people):
    missed = [tags(*RIGHT[0]), tags("O", "O", "O")]
    assert people.score(missed) == pytest.approx(2 * 2 / (3 + 2))
    assert people.score(missed, np.array([0, 0, 1, 1])) == pytest.approx(2 * 4 / (6 + 4))


def test_a_change_of_any_token_counts(people):
    before = [tags(*names) for names in RIGHT]
    after = [before[0], tags(*RIGHT[1], sure=0.7)]
    assert people.change(before, after) == pytest.approx([0, 0.2])


def test_entities_are_calibrated_by_their_scores(people):
    assert people.calibration_error([tags(*names) for names in RIGHT]) == pytest.approx(0.1)
    assert people.calibration_error([tags(*["O"] * 6), tags(*["O"] * 3)]) == 0
