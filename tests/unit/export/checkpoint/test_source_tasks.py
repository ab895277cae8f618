"""What the checkpoints of NLI models and cross-encoders say of themselves."""

import pytest
from checkpoint_files import change_config, refusal

from luxe_export.checkpoint import source


def test_an_nli_models_labels(tasks, tmp_path):
    entry, folder = tasks("zero-shot-classification", tmp_path / "checkpoint")
    loaded = source.load(entry, folder)
    assert (loaded.contradiction_id, loaded.entailment_id) == (0, 2)
    change_config(
        folder,
        id2label={"0": "ENTAILMENT", "1": "NEUTRAL", "2": "CONTRADICTION"},
        label2id={"ENTAILMENT": 0, "NEUTRAL": 1, "CONTRADICTION": 2},
    )
    loaded = source.load(entry, folder)
    assert (loaded.contradiction_id, loaded.entailment_id) == (2, 0)


@pytest.mark.parametrize("labels", [("entailment", "neutral", "other"), ("no", "maybe", "contradiction")])
def test_a_model_that_is_no_nli_model(tasks, tmp_path, labels):
    entry, folder = tasks("zero-shot-classification", tmp_path / "checkpoint")
    change_config(folder, id2label=dict(enumerate(labels)), label2id={x: i for i, x in enumerate(labels)})
    assert "not of an NLI model" in refusal(entry, folder)


@pytest.mark.parametrize("place", ["two", None, [2], True, 3, -1, 10**400])
def test_a_label_without_a_place(tasks, tmp_path, place):
    entry, folder = tasks("zero-shot-classification", tmp_path / "checkpoint")
    change_config(folder, label2id={"contradiction": 0, "neutral": 1, "entailment": place})
    message = refusal(entry, folder)
    assert "a label's place is 0 to 2, not" in message and len(message) < 300


@pytest.mark.parametrize(
    ("changes", "activation"),
    [
        ({}, "sigmoid"),
        ({"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}}, "identity"),
        ({"sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Sigmoid"}}, "sigmoid"),
        ({"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"}, "identity"),
    ],
)
def test_a_cross_encoders_activation(tasks, tmp_path, changes, activation):
    entry, folder = tasks("text-ranking", tmp_path / "checkpoint")
    change_config(folder, **changes)
    assert source.load(entry, folder).ranking_activation == activation


def test_a_cross_encoder_with_an_activation_of_its_own(tasks, tmp_path):
    entry, folder = tasks("text-ranking", tmp_path / "checkpoint")
    change_config(folder, sentence_transformers={"activation_fn": "torch.nn.modules.activation.Tanh"})
    assert "Tanh" in refusal(entry, folder)


def test_a_classifier_is_no_cross_encoder(tasks, colours, folder):
    assert "text-ranking needs" in refusal(colours.model_copy(update={"task": "text-ranking"}), folder)
