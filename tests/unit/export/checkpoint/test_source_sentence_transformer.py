"""A sentence transformer: its modules, and a pooling other than the catalogue's."""

import json

import numpy as np
import pytest
from checkpoint_files import refusal
from json_files import change_json

from luxe_export.checkpoint import source


def as_sentence_transformer(folder, pooling, *, normalize=True, kind="sentence_transformers.models.Pooling"):
    modules = [("", "sentence_transformers.models.Transformer"), ("1_Pooling", kind)]
    modules += [("2_Normalize", "sentence_transformers.models.Normalize")] if normalize else []
    rows = [{"idx": i, "name": str(i), "path": path, "type": kind} for i, (path, kind) in enumerate(modules)]
    (folder / "modules.json").write_text(json.dumps(rows))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 64} | pooling))


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
    change_json(folder / "modules.json", lambda rows: rows[1].update(path=path))
    assert f"{str(path)!r} holds no pooling" in refusal(entry, folder)


def test_a_transformer_in_a_folder_of_its_own(tasks, tmp_path):
    entry, folder = tasks("feature-extraction", tmp_path / "checkpoint")
    as_sentence_transformer(folder, {"pooling_mode": "mean"})
    change_json(folder / "modules.json", lambda rows: rows[0].update(path="0_Transformer"))
    assert "not of '0_Transformer'" in refusal(entry, folder)


@pytest.mark.parametrize("place", [1, 2])
def test_a_module_that_comes_twice(tasks, tmp_path, place):
    entry, folder = tasks("feature-extraction", tmp_path / "checkpoint")
    as_sentence_transformer(folder, {"pooling_mode": "mean"})
    change_json(folder / "modules.json", lambda rows: rows.append(rows[place]))
    assert "luxe reads a Transformer, its Pooling and Normalize" in refusal(entry, folder)


def test_a_sentence_transformer_that_changes_its_texts(tasks, tmp_path):
    entry, folder = tasks("feature-extraction", tmp_path / "checkpoint")
    as_sentence_transformer(folder, {"pooling_mode": "mean"})
    (folder / "config_sentence_transformers.json").write_text('{"default_prompt_name": "query"}')
    assert "default_prompt_name" in refusal(entry, folder)
