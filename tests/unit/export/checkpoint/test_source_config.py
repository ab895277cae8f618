"""A config.json that is none, asks for remote code, or names what no encoder has."""

import pytest
from checkpoint_files import change_config, refusal

from luxe_export.checkpoint import source


@pytest.mark.parametrize("text", ["{", "[]", "5", "null", '"text"', '{"model_type": "no-such-model"}', "{}"])
def test_a_config_that_is_none(colours, folder, text):
    (folder / "config.json").write_text(text)
    assert "config.json" in refusal(colours, folder)


def test_remote_code(colours, folder):
    change_config(folder, auto_map={"AutoModelForSequenceClassification": "modeling_evil.Evil"})
    (folder / "modeling_evil.py").write_text("raise SystemExit('remote code was run')")
    message = refusal(colours, folder)
    assert "auto_map" in message


def test_a_kernel_from_the_hub(colours, folder):
    change_config(folder, attn_implementation="somebody/kernel")
    assert "remote code" in refusal(colours, folder)


def test_a_quantised_model(colours, folder):
    change_config(folder, quantization_config={"quant_method": "bitsandbytes", "load_in_8bit": True})
    assert "quantised" in refusal(colours, folder)


@pytest.mark.parametrize("architectures", [5, "BertForSequenceClassification", {"a": 1}])
def test_architectures_that_are_no_list(colours, folder, architectures):
    change_config(folder, architectures=architectures)
    assert "architectures must be a list" in refusal(colours, folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_hidden_layers", 10**9),
        ("n_layer", 10**6),
        ("n_head", 10**6),
        ("num_feedforward_networks", 10**6),
        ("block_sizes", [4, 10**6]),
        ("text_config", {"num_hidden_layers": 10**6}),
        ("num_hidden_layers", 10**400),
        ("num_attention_heads", 10**9),
        ("num_labels", 10**9),
        ("vocab_size", 10**12),
        ("max_position_embeddings", 10**30),
        ("intermediate_size", float("inf")),
        ("hidden_size", 2**22),
        ("hidden_size", "many"),
        ("hidden_size", -4),
        ("hidden_act", "no-such-function"),
    ],
)
def test_numbers_that_no_encoder_has(colours, folder, key, value):
    change_config(folder, **{key: value})
    message = refusal(colours, folder)
    assert "\n" not in message
    assert len(message) < 600


def test_groups_of_groups_that_no_encoder_has(colours, folder):
    change_config(folder, num_hidden_groups=900, inner_group_num=900)
    assert "num_hidden_groups times inner_group_num is 810000" in refusal(colours, folder)


def test_a_label_may_be_called_as_a_number_of_layers_is(colours, folder):
    change_config(folder, label2id={"red": 0, "green": 1, "num_hidden_layers": 2000})
    source.load(colours, folder)
