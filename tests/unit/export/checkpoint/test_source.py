"""A whole model's checkpoint as it is loaded and recorded, and folders that hold none."""

import os

from checkpoint_files import refusal

from luxe_export.checkpoint import source
from luxe_training import base


def test_a_whole_model_is_loaded(colours, folder):
    """Else every refusal below could have another reason."""
    loaded = source.load(colours, folder)
    assert not loaded.model.training
    assert loaded.tokenizer("red green")["input_ids"] == [2, 3]


def test_the_files_are_recorded(colours, folder):
    (folder / "README.md").write_text("nothing of it is loaded")
    loaded = source.load(colours, folder)
    assert list(loaded.sha256) == sorted(loaded.sha256)
    assert set(loaded.sha256) >= {"config.json", "model.safetensors", "tokenizer.json"}
    assert "README.md" not in loaded.sha256
    assert loaded.sha256["model.safetensors"] == base.sha256(folder / "model.safetensors")
    assert loaded.revision is None


def test_no_folder(colours, tmp_path):
    assert "does not exist" in refusal(colours, tmp_path / "nowhere")


def test_a_file(colours, tmp_path):
    (tmp_path / "file").write_text("")
    refusal(colours, tmp_path / "file")


def test_no_config(colours, folder):
    (folder / "config.json").unlink()
    assert "holds no config.json" in refusal(colours, folder)


def test_neither_is_read_what_leaves_the_folder(colours, folder, tmp_path):
    (folder / "tokenizer.json").rename(tmp_path / "elsewhere.json")
    (folder / "tokenizer.json").symlink_to(tmp_path / "elsewhere.json")
    assert "leaves" in refusal(colours, folder)


def test_what_is_no_file_is_not_opened(colours, folder):
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")
    assert "not a file" in refusal(colours, folder)
