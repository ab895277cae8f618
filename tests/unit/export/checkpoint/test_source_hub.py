"""A checkpoint of the hub: only what is cached, and only of a commit."""

import os

import pytest

from luxe.errors import UserError
from luxe_export.checkpoint import files, source
from luxe_training import base

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
