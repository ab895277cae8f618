import json
import shutil

import pytest

from luxe.errors import UserError
from luxe_export import source
from luxe_training import checkpoint

LABELS = ("red", "green", "blue")


@pytest.fixture
def colours(entry):
    return entry.model_copy(update={"name": "colours", "labels": LABELS, "base": None})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A whole model's checkpoint, a thousand weights small and untrained."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("whole")
    config = BertConfig(
        vocab_size=8,
        hidden_size=4,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=4,
        max_position_embeddings=16,
        id2label=dict(enumerate(LABELS)),
        label2id={label: i for i, label in enumerate(LABELS)},
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    words = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "red", "green"])}
    tokenizer = Tokenizer(WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]").save_pretrained(folder)
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "checkpoint")


def change_config(folder, **changes):
    path = folder / "config.json"
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))


def refusal(entry, folder):
    with pytest.raises(UserError) as caught:
        source.load(entry, folder)
    assert str(folder) in str(caught.value)
    return str(caught.value)


def test_a_whole_model_is_loaded(colours, folder):
    """Else every refusal below could have another reason."""
    loaded = source.load(colours, folder)
    assert not loaded.model.training
    assert loaded.tokenizer("red green")["input_ids"] == [2, 3]


def test_no_folder(colours, tmp_path):
    assert "does not exist" in refusal(colours, tmp_path / "nowhere")


def test_a_file(colours, tmp_path):
    (tmp_path / "file").write_text("")
    refusal(colours, tmp_path / "file")


def test_no_config(colours, folder):
    (folder / "config.json").unlink()
    assert "holds no config.json" in refusal(colours, folder)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pth"])
def test_pickled_weights(colours, folder, name):
    (folder / "model.safetensors").rename(folder / name)
    message = refusal(colours, folder)
    assert name in message
    assert "pickled" in message


def test_no_weights(colours, folder):
    (folder / "model.safetensors").unlink()
    message = refusal(colours, folder)
    assert "no model.safetensors" in message
    assert "pickled" not in message


def test_pickled_weights_beside_safe_ones_are_not_read(colours, folder):
    (folder / "pytorch_model.bin").write_bytes(b"not even a pickle")
    source.load(colours, folder)


def test_remote_code(colours, folder):
    change_config(folder, auto_map={"AutoModelForSequenceClassification": "modeling_evil.Evil"})
    (folder / "modeling_evil.py").write_text("raise SystemExit('remote code was run')")
    message = refusal(colours, folder)
    assert "auto_map" in message


@pytest.mark.parametrize("text", ["{", "[]", "5", "null", '"text"', '{"model_type": "no-such-model"}', "{}"])
def test_a_config_that_is_none(colours, folder, text):
    (folder / "config.json").write_text(text)
    assert "config.json" in refusal(colours, folder)


def test_weights_that_are_none(colours, folder):
    (folder / "model.safetensors").write_bytes(b"not weights")
    refusal(colours, folder)


def test_weights_without_a_head(colours, folder):
    """An encoder without its classifier would be exported with random weights."""
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in weights.items() if not name.startswith("classifier.")}
    assert len(kept) < len(weights)
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    assert "classifier" in refusal(colours, folder)


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


def test_an_adapter_needs_a_base(colours, folder):
    (folder / "model.safetensors").rename(folder / checkpoint.ADAPTER)
    message = refusal(colours, folder)
    assert "adapter" in message
    assert "catalog/colours.toml needs a [base] table" in message
