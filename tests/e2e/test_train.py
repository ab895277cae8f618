"""`luxe train` on a handful of texts: a real base, a real adapter, and a checkpoint that the export can load."""

import json

import pytest
from e2e_support import MODEL, copy_project, luxe, set_key

from luxe import catalog
from luxe.project import Project
from luxe_training import checkpoint

ROWS = 36


@pytest.fixture
def small(tmp_path):
    """A project with few texts of every split and one epoch, without a checkpoint."""
    copy_project(tmp_path)
    project = Project.open(tmp_path)
    for path in project.data(MODEL).glob("*.jsonl"):
        path.write_text("".join(path.read_text(encoding="utf-8").splitlines(keepends=True)[:ROWS]), encoding="utf-8")
    toml = project.catalog / f"{MODEL}.toml"
    set_key(toml, "max_epochs", "1")
    set_key(toml, "patience", "1")
    for path in project.checkpoint(MODEL).iterdir():
        path.unlink()
    return project


def test_a_checkpoint_is_written_whole(small):
    from luxe_export.checkpoint import source
    from luxe_training.data import load

    entry = catalog.load(small, MODEL)
    done = luxe("train", MODEL, "--root", small.root, timeout_s=300)
    assert done.status == 0, done.err
    assert "epoch  1 of 1" in done.err
    folder = small.checkpoint(MODEL)
    record = checkpoint.read(folder)
    assert record.epochs == 1
    assert record.temperature > 0
    for split, digest in record.data_sha256.items():
        assert load(small.data(MODEL), split, entry.labels).sha256 == digest
    assert set(record.metrics) == {"validation", "test"}
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert all(digest in card for digest in record.data_sha256.values())
    assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] == entry.base.hub_id
    assert (folder / checkpoint.ADAPTER).stat().st_size < 2_000_000
    assert source.load(entry, folder).model.config.id2label == dict(enumerate(entry.labels))
    assert [p.name for p in folder.parent.iterdir()] == [MODEL], "nothing half-written stays"


def test_data_with_another_label_is_refused_and_the_checkpoint_stays(small):
    path = small.data(MODEL) / "validation.jsonl"
    path.write_text('{"text": "hello", "label": "greeting"}\n', encoding="utf-8")
    done = luxe("train", MODEL, "--root", small.root, timeout_s=300)
    assert done.status == 2
    assert "validation.jsonl line 1" in done.err
    assert "greeting" in done.err
    assert "Traceback" not in done.err
    assert list(small.checkpoint(MODEL).iterdir()) == []
