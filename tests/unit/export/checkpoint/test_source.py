import json
import os
import shutil
import types

import numpy as np
import pytest
from small_models import bring

from luxe import catalog
from luxe.errors import UserError
from luxe.project import Project
from luxe_export.checkpoint import files, source
from luxe_training import base, checkpoint

LABELS = ("red", "green", "blue")


@pytest.fixture
def colours(entry):
    return entry.model_copy(update={"name": "colours", "labels": LABELS, "base": None, "max_length": 16})


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


def test_neither_is_read_what_leaves_the_folder(colours, folder, tmp_path):
    (folder / "tokenizer.json").rename(tmp_path / "elsewhere.json")
    (folder / "tokenizer.json").symlink_to(tmp_path / "elsewhere.json")
    assert "leaves" in refusal(colours, folder)


def test_what_is_no_file_is_not_opened(colours, folder):
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")
    assert "not a file" in refusal(colours, folder)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_truncated_weights(colours, folder, share):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    message = refusal(colours, folder)
    assert "\n" not in message
    assert "cannot load" in message


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


def test_a_label_may_be_called_as_a_number_of_layers_is(colours, folder):
    change_config(folder, label2id={"red": 0, "green": 1, "num_hidden_layers": 2000})
    source.load(colours, folder)


def test_groups_of_groups_that_no_encoder_has(colours, folder):
    change_config(folder, num_hidden_groups=900, inner_group_num=900)
    assert "num_hidden_groups times inner_group_num is 810000" in refusal(colours, folder)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": "1.0"}', '{"model": {"type": "Nothing"}}'])
def test_a_tokenizer_that_is_none(colours, folder, text):
    (folder / "tokenizer.json").write_text(text)
    message = refusal(colours, folder)
    assert "tokenizer" in message
    assert "\n" not in message


def test_a_tokenizer_that_asks_for_remote_code(colours, folder):
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"auto_map": {"AutoTokenizer": ["evil.Evil", None]}}))
    assert "auto_map" in refusal(colours, folder)


def test_a_kernel_from_the_hub(colours, folder):
    change_config(folder, attn_implementation="somebody/kernel")
    assert "remote code" in refusal(colours, folder)


def test_a_quantised_model(colours, folder):
    change_config(folder, quantization_config={"quant_method": "bitsandbytes", "load_in_8bit": True})
    assert "quantised" in refusal(colours, folder)


def test_an_adapters_config_beside_a_whole_model(colours, folder):
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "somebody/model"}))
    assert "adapter_config.json" in refusal(colours, folder)


def test_a_tokenizer_of_another_model(colours, folder):
    path = folder / "tokenizer.json"
    table = json.loads(path.read_text())
    table["model"]["vocab"]["pink"] = 8
    path.write_text(json.dumps(table))
    assert "ids reach 8, the model knows 8" in refusal(colours, folder)


def test_a_model_that_reads_less(colours, folder):
    message = refusal(colours.model_copy(update={"max_length": 17}), folder)
    assert "cannot read 17 tokens" in message


def test_weights_that_are_no_numbers(colours, folder):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    weights["classifier.weight"][0, 0] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert "not finite" in refusal(colours, folder)


def shard(folder, name="model-00002-of-00002.safetensors"):
    """Split the weights over two files, as large models have them."""
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    names = sorted(weights)
    parts = {"model-00001-of-00002.safetensors": names[:5], "model-00002-of-00002.safetensors": names[5:]}
    for file, kept in parts.items():
        save_file({n: weights[n] for n in kept}, folder / file, metadata={"format": "pt"})
    (folder / "model.safetensors").unlink()
    index = {"metadata": {}, "weight_map": {n: file for file, kept in parts.items() for n in kept}}
    index["weight_map"][names[5]] = name
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def test_sharded_weights(colours, folder):
    row = {"input_ids": [2, 3, 2], "attention_mask": [1, 1, 1]}
    whole = source.load(colours, folder).answer(row)
    shard(folder)
    loaded = source.load(colours, folder)
    assert np.array_equal(loaded.answer(row), whole)
    assert {name for name in loaded.sha256 if name.endswith(".safetensors")} == {
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    }


@pytest.mark.parametrize("name", ["../model.safetensors", "model-00003-of-00003.safetensors", "pytorch_model.bin"])
def test_a_shard_that_is_not_in_the_folder(colours, folder, name):
    shutil.copy(folder / "model.safetensors", folder.parent / "model.safetensors")
    (folder / "pytorch_model.bin").write_bytes(b"not even a pickle")
    shard(folder, name)
    assert repr(name) in refusal(colours, folder)


def test_the_files_are_recorded(colours, folder):
    (folder / "README.md").write_text("nothing of it is loaded")
    loaded = source.load(colours, folder)
    assert list(loaded.sha256) == sorted(loaded.sha256)
    assert set(loaded.sha256) >= {"config.json", "model.safetensors", "tokenizer.json"}
    assert "README.md" not in loaded.sha256
    assert loaded.sha256["model.safetensors"] == base.sha256(folder / "model.safetensors")
    assert loaded.revision is None


def test_a_problem_type_other_than_the_catalogues(colours, folder):
    change_config(folder, problem_type="multi_label_classification")
    assert "multi_label_classification" in refusal(colours, folder)
    source.load(colours.model_copy(update={"problem_type": "multi_label_classification"}), folder)


def test_another_head(colours, folder):
    change_config(folder, architectures=["BertForTokenClassification"])
    assert "BertForTokenClassification" in refusal(colours, folder)


@pytest.mark.parametrize("architectures", [5, "BertForSequenceClassification", {"a": 1}])
def test_architectures_that_are_no_list(colours, folder, architectures):
    change_config(folder, architectures=architectures)
    assert "architectures must be a list" in refusal(colours, folder)


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    """A folder and an entry by kind."""
    root = tmp_path_factory.mktemp("tasks")

    def made(kind, folder):
        if not (root / "checkpoints" / kind).exists():
            bring(root, "bert", kind, kind, tests=24, trains=4)
        shutil.copytree(root / "checkpoints" / kind, folder)
        return catalog.load(Project.open(root), kind), folder

    return made


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


def as_sentence_transformer(folder, pooling, *, normalize=True, kind="sentence_transformers.models.Pooling"):
    modules = [("", "sentence_transformers.models.Transformer"), ("1_Pooling", kind)]
    modules += [("2_Normalize", "sentence_transformers.models.Normalize")] if normalize else []
    rows = [{"idx": i, "name": str(i), "path": path, "type": kind} for i, (path, kind) in enumerate(modules)]
    (folder / "modules.json").write_text(json.dumps(rows))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 64} | pooling))


def change_modules(folder, change):
    rows = json.loads((folder / "modules.json").read_text())
    change(rows)
    (folder / "modules.json").write_text(json.dumps(rows))


@pytest.mark.parametrize(
    "pooling", [{"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, {"pooling_mode": "mean"}]
)
def test_a_sentence_transformer(tasks, tmp_path, pooling):
    entry, folder = tasks("feature-extraction", tmp_path / "checkpoint")
    as_sentence_transformer(folder, pooling)
    loaded = source.load(entry, folder)
    assert "1_Pooling/config.json" in loaded.sha256
    row = {"input_ids": [2, 60, 70, 3, 0, 0], "attention_mask": [1, 1, 1, 1, 0, 0]}
    short = {name: ids[:4] for name, ids in row.items()}
    assert np.abs(loaded.answer(row) - loaded.answer(short)).max() < 1e-5
    assert abs(np.linalg.norm(loaded.answer(row)) - 1) < 1e-5


@pytest.mark.parametrize(
    ("pooling", "options", "said"),
    [
        ({"pooling_mode_cls_token": True}, {}, "pooling is cls and normalize true"),
        ({"pooling_mode_max_tokens": True}, {}, "max_tokens"),
        ({"pooling_mode": "mean"}, {"normalize": False}, "normalize false"),
        ({"pooling_mode": ["mean", "cls"]}, {}, "not in 2"),
        ({"pooling_mode": 5}, {}, "pooling is 5"),
        ({"pooling_mode": "mean"}, {"kind": "sentence_transformers.models.Dense"}, "Dense"),
        ({"pooling_mode": "mean"}, {"kind": "evil.Pooling"}, "remote code"),
    ],
)
def test_a_sentence_transformer_other_than_the_catalogues(tasks, tmp_path, pooling, options, said):
    entry, folder = tasks("feature-extraction", tmp_path / "checkpoint")
    as_sentence_transformer(folder, pooling, **options)
    assert said in refusal(entry, folder)


@pytest.mark.parametrize("path", ["../elsewhere", "pooling", "3_Pooling", None])
def test_a_pooling_that_is_none_of_the_checkpoints_files(tasks, tmp_path, path):
    entry, folder = tasks("feature-extraction", tmp_path / "checkpoint")
    as_sentence_transformer(folder, {"pooling_mode": "mean"})
    (folder / "1_Pooling").rename(tmp_path / "elsewhere")
    (folder / "pooling").symlink_to(tmp_path / "elsewhere")
    change_modules(folder, lambda rows: rows[1].update(path=path))
    assert f"{str(path)!r} holds no pooling" in refusal(entry, folder)


def test_a_transformer_in_a_folder_of_its_own(tasks, tmp_path):
    entry, folder = tasks("feature-extraction", tmp_path / "checkpoint")
    as_sentence_transformer(folder, {"pooling_mode": "mean"})
    change_modules(folder, lambda rows: rows[0].update(path="0_Transformer"))
    assert "not of '0_Transformer'" in refusal(entry, folder)


@pytest.mark.parametrize("place", [1, 2])
def test_a_module_that_comes_twice(tasks, tmp_path, place):
    entry, folder = tasks("feature-extraction", tmp_path / "checkpoint")
    as_sentence_transformer(folder, {"pooling_mode": "mean"})
    change_modules(folder, lambda rows: rows.append(rows[place]))
    assert "luxe reads a Transformer, its Pooling and Normalize" in refusal(entry, folder)


def test_a_sentence_transformer_that_changes_its_texts(tasks, tmp_path):
    entry, folder = tasks("feature-extraction", tmp_path / "checkpoint")
    as_sentence_transformer(folder, {"pooling_mode": "mean"})
    (folder / "config_sentence_transformers.json").write_text('{"default_prompt_name": "query"}')
    assert "default_prompt_name" in refusal(entry, folder)


def test_an_encoder_without_its_pooler_is_whole(tasks, tmp_path):
    from safetensors.torch import load_file, save_file

    entry, folder = tasks("feature-extraction", tmp_path / "checkpoint")
    weights = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in weights.items() if not name.startswith("pooler.")}
    assert len(kept) < len(weights)
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    source.load(entry, folder)


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cached(folder, tmp_path, monkeypatch):
    """The checkpoint in the hub's cache, as ``somebody/colours``; the hub itself is out of reach."""
    from huggingface_hub import constants

    cache = tmp_path / "hub"
    model = cache / "models--somebody--colours"
    snapshot = model / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (model / "blobs").mkdir()
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(COMMIT)
    for path in folder.iterdir():
        blob = model / "blobs" / base.sha256(path)
        path.rename(blob)
        (snapshot / path.name).symlink_to(os.path.relpath(blob, snapshot))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return snapshot


def test_a_model_of_the_hub(colours, cached):
    loaded = source.load(colours, f"somebody/colours@{COMMIT}")
    assert loaded.revision == COMMIT
    assert "model.safetensors" in loaded.sha256
    assert source.load(colours, cached).revision == COMMIT


def test_a_link_that_leaves_the_hubs_cache(colours, cached, tmp_path):
    (cached / "config.json").resolve().rename(tmp_path / "elsewhere.json")
    (cached / "config.json").unlink()
    (cached / "config.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(UserError, match="leaves"):
        source.load(colours, f"somebody/colours@{COMMIT}")


@pytest.mark.parametrize("revision", ["main", "v1.0", COMMIT[:7], COMMIT.upper()])
def test_a_model_of_the_hub_that_is_not_pinned(cached, revision):
    with pytest.raises(UserError, match="is not pinned") as caught:
        files.find(f"somebody/colours@{revision}")
    assert revision in str(caught.value)


def test_a_model_of_the_hub_without_a_revision(cached):
    with pytest.raises(UserError, match="somebody/colours@<40 hexadecimal digits>"):
        files.find("somebody/colours")


@pytest.mark.parametrize("place", [f"somebody/else@{COMMIT}", f"somebody/colours@{COMMIT[::-1]}"])
def test_a_model_that_is_not_cached(cached, place):
    with pytest.raises(UserError, match="cannot be reached") as caught:
        files.find(place)
    assert "\n" not in str(caught.value)


@pytest.fixture
def adapter(colours, folder, tmp_path):
    """An adapter on the checkpoint as others train it: with a config, without a training record."""
    from peft import LoraConfig, get_peft_model

    from luxe.schema import Base

    base_model = source.load(colours, folder).model
    config = LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["query", "value"], init_lora_weights=False)
    made = get_peft_model(base_model, config)
    target = tmp_path / "adapter"
    made.save_pretrained(target)
    base_model.config.save_pretrained(target)
    entry = colours.model_copy(
        update={"base": Base(hub_id=str(folder), sha256=base.sha256(folder / "model.safetensors"))}
    )
    return entry, target, made.eval()


def test_an_adapter_is_merged(adapter):
    import torch

    entry, folder, original = adapter
    row = {"input_ids": [2, 3, 2], "attention_mask": [1, 1, 1]}
    loaded = source.load(entry, folder)
    with torch.inference_mode():
        wanted = original(**{name: torch.tensor([ids]) for name, ids in row.items()}).logits[0].numpy()
    assert np.abs(loaded.answer(row) - wanted).max() < 1e-5
    assert not any("lora" in name for name, _ in loaded.model.named_parameters())
    assert {"adapter_model.safetensors", "base/model.safetensors", "base/tokenizer.json"} <= set(loaded.sha256)


def record(folder, temperature):
    rest = {"epochs": 1, "metrics": {}, "data_sha256": {}, "base": "", "base_sha256": "", "versions": {}}
    (folder / "training.json").write_text(json.dumps({"temperature": temperature, **rest}))


def test_the_temperature_divides_the_logits(adapter):
    entry, folder, _ = adapter
    row = {"input_ids": [2, 3, 2], "attention_mask": [1, 1, 1]}
    before = source.load(entry, folder).answer(row)
    record(folder, 2)
    assert source.load(entry, folder).answer(row) == pytest.approx(before / 2, abs=1e-6)
    assert np.abs(before).max() > 1e-3


def test_a_head_without_a_bias_is_divided_and_no_head_is_refused(tmp_path):
    from torch import nn

    model = nn.Sequential(nn.Linear(4, 3, bias=False))
    model.config = types.SimpleNamespace(num_labels=3)
    before = model[0].weight.detach().numpy().copy()
    source._fold_temperature(model, 4.0, tmp_path)
    assert model[0].weight.detach().numpy() == pytest.approx(before / 4)
    model.config.num_labels = 2
    with pytest.raises(UserError, match="no classifier"):
        source._fold_temperature(model, 4.0, tmp_path)


@pytest.mark.parametrize("temperature", ["warm", None, True, 0, -1, float("nan"), float("inf"), 10**400])
def test_a_temperature_that_nothing_can_be_divided_by(adapter, temperature):
    entry, folder, _ = adapter
    record(folder, temperature)
    assert '"temperature" must be a number over 0' in refusal(entry, folder)


def test_a_record_that_is_nested_without_end(adapter):
    entry, folder, _ = adapter
    (folder / "training.json").write_text("[" * 100_000)
    assert "is not a training record: nested too deeply" in refusal(entry, folder)


def test_an_adapter_of_another_kind(adapter):
    entry, folder, _ = adapter
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"peft_type": "PROMPT_TUNING"}))
    assert "PROMPT_TUNING" in refusal(entry, folder)


def test_an_adapter_that_lacks_weights(adapter):
    from safetensors.torch import load_file, save_file

    entry, folder, _ = adapter
    weights = load_file(folder / "adapter_model.safetensors")
    save_file({n: w for n, w in weights.items() if "query" not in n}, folder / "adapter_model.safetensors")
    assert "lacks weights" in refusal(entry, folder)
