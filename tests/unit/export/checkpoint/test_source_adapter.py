"""An adapter: merged into its base, divided by its temperature, and refused when either is not whole."""

import json
import types

import numpy as np
import pytest
from checkpoint_files import drop_weights, refusal
from json_files import change_json

from luxe.errors import UserError
from luxe_export.checkpoint import source
from luxe_training import base, checkpoint


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


def test_an_adapter_needs_a_base(colours, folder):
    (folder / "model.safetensors").rename(folder / checkpoint.ADAPTER)
    message = refusal(colours, folder)
    assert "adapter" in message
    assert "catalog/colours.toml needs a [base] table" in message


def test_an_adapters_config_beside_a_whole_model(colours, folder):
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "somebody/model"}))
    assert "adapter_config.json" in refusal(colours, folder)


def test_an_adapter_of_another_kind(adapter):
    entry, folder, _ = adapter
    change_json(folder / "adapter_config.json", lambda config: config.update(peft_type="PROMPT_TUNING"))
    assert "PROMPT_TUNING" in refusal(entry, folder)


def test_an_adapter_that_lacks_weights(adapter):
    entry, folder, _ = adapter
    drop_weights(folder / "adapter_model.safetensors", "query")
    assert "lacks weights" in refusal(entry, folder)


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
