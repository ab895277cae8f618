"""Weights: pickled, missing, cut off, without a head, not finite, and in several files."""

import json
import shutil

import numpy as np
import pytest
from checkpoint_files import drop_weights, refusal

from luxe_export.checkpoint import source


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


def test_weights_that_are_none(colours, folder):
    (folder / "model.safetensors").write_bytes(b"not weights")
    refusal(colours, folder)


def test_weights_without_a_head(colours, folder):
    """An encoder without its classifier would be exported with random weights."""
    drop_weights(folder / "model.safetensors", "classifier.")
    assert "classifier" in refusal(colours, folder)


def test_an_encoder_without_its_pooler_is_whole(tasks, tmp_path):
    entry, folder = tasks("feature-extraction", tmp_path / "checkpoint")
    drop_weights(folder / "model.safetensors", "pooler.")
    source.load(entry, folder)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_truncated_weights(colours, folder, share):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    message = refusal(colours, folder)
    assert "\n" not in message
    assert "cannot load" in message


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
