"""A checkpoint other than its catalogue entry says: labels, problem, head, length."""

import pytest
from checkpoint_files import LABELS, change_config, refusal

from luxe_export.checkpoint import source


def test_no_labels(colours, folder):
    change_config(folder, id2label={str(i): f"LABEL_{i}" for i in range(3)}, label2id=None)
    message = refusal(colours, folder)
    assert "no labels" in message
    assert "red, green, blue" in message


@pytest.mark.parametrize(
    "labels", [("green", "red", "blue"), ("red", "green", "pink"), ("red", "green"), (*LABELS, "pink")]
)
def test_other_labels_than_the_catalogues(colours, folder, labels):
    change_config(folder, id2label={str(i): label for i, label in enumerate(labels)}, label2id=None)
    message = refusal(colours, folder)
    assert ", ".join(labels) in message
    assert "red, green, blue" in message
    assert "catalog/colours.toml" in message


def test_eleven_labels_are_ordered_as_numbers(colours, folder):
    labels = [f"colour {i}" for i in range(11)]
    change_config(folder, id2label={str(i): label for i, label in enumerate(labels)}, label2id=None)
    other = colours.model_copy(update={"labels": tuple(reversed(labels))})
    assert f"has the labels {', '.join(labels)};" in refusal(other, folder)


def test_a_problem_type_other_than_the_catalogues(colours, folder):
    change_config(folder, problem_type="multi_label_classification")
    assert "multi_label_classification" in refusal(colours, folder)
    source.load(colours.model_copy(update={"problem_type": "multi_label_classification"}), folder)


def test_another_head(colours, folder):
    change_config(folder, architectures=["BertForTokenClassification"])
    assert "BertForTokenClassification" in refusal(colours, folder)


def test_a_model_that_reads_less(colours, folder):
    message = refusal(colours.model_copy(update={"max_length": 17}), folder)
    assert "cannot read 17 tokens" in message
