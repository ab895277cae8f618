"""What an export depends on, and that the same inputs give the same bytes."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from small_models import KINDS, bring

from luxe import catalog
from luxe.errors import UserError
from luxe.project import Project
from luxe_export import run
from luxe_export.checkpoint import files
from luxe_training.base import sha256

NAME = "comment-intent"
STEPS = ["fp32", "int8-static"]
LUXE = "from luxe.cli import main; main()"


@pytest.fixture
def project(shipped, tmp_path):
    """The shipped catalogue with a few bytes for data and weights: they are hashed, and nobody reads them."""
    shutil.copytree(shipped.catalog, tmp_path / "catalog")
    for path, content in {
        f"data/{NAME}/train.jsonl": "train",
        f"data/{NAME}/test.jsonl": "test",
        f"data/{NAME}/validation.jsonl": "validation",
        f"data/{NAME}/README.md": "about",
        f"checkpoints/{NAME}/config.json": "{}",
        f"checkpoints/{NAME}/model.safetensors": "weights",
        f"checkpoints/{NAME}/tokenizer.json": "{}",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content, encoding="utf-8")
    return Project.open(tmp_path)


def inputs(project, *, target="cpu", steps=STEPS):
    found = files.find(project.checkpoint(NAME))
    return run._inputs_sha256(catalog.load(project, NAME), found, project.data(NAME), target, steps)


def rewrite(project, old, new):
    path = project.catalog / f"{NAME}.toml"
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_the_same_inputs_anywhere(project, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "copy"
    shutil.copytree(project.root, elsewhere)
    assert inputs(project) == inputs(Project.open(elsewhere)) == inputs(project)


@pytest.mark.parametrize(
    "path",
    [
        f"data/{NAME}/train.jsonl",
        f"data/{NAME}/test.jsonl",
        f"checkpoints/{NAME}/config.json",
        f"checkpoints/{NAME}/model.safetensors",
        f"checkpoints/{NAME}/tokenizer.json",
    ],
)
def test_a_file_is_an_input(project, path):
    before = inputs(project)
    (project.root / path).write_text('{"changed": 1}', encoding="utf-8")
    assert inputs(project) != before


def test_a_file_that_comes_or_goes_is_an_input(project):
    before = inputs(project)
    (project.checkpoint(NAME) / "special_tokens_map.json").write_text("{}", encoding="utf-8")
    more = inputs(project)
    (project.data(NAME) / "train.jsonl").unlink()
    assert len({before, more, inputs(project)}) == 3


def test_target_and_candidates_are_inputs(project):
    ways = [("cpu", STEPS), ("cuda", STEPS), ("cpu", STEPS[:1]), ("cpu", [*STEPS, "int4-weights"])]
    assert len({inputs(project, target=target, steps=steps) for target, steps in ways}) == len(ways)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("max_length = 128", "max_length = 127"),
        ("review_threshold = 0.5", "review_threshold = 0.6"),
        ('"spam", "conversation"', '"conversation", "spam"'),
        ("min_agreement = 0.98", "min_agreement = 0.97"),
        ("max_micro_batch = 8", "max_micro_batch = 9"),
        ("engine_instances = 2", "engine_instances = 1"),
        ('sha256 = "53aa', 'sha256 = "53ab'),
    ],
)
def test_the_catalogue_is_an_input(project, old, new):
    before = inputs(project)
    rewrite(project, old, new)
    assert inputs(project) != before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("What the person", "Whatever the person"),
        ("p99_ms = 500", "p99_ms = 400"),
        ("max_epochs = 12", "max_epochs = 1"),  # its effect is in the checkpoint
    ],
)
def test_what_changes_nothing_is_no_input(project, old, new):
    before = inputs(project)
    rewrite(project, old, new)
    for name in ("README.md", "validation.jsonl"):
        (project.data(NAME) / name).write_text("changed", encoding="utf-8")
    assert inputs(project) == before


@pytest.mark.parametrize("changed", ["tools", "cpu", "settings"])
def test_what_it_runs_on_is_an_input(project, monkeypatch, changed):
    before = inputs(project)
    if changed == "tools":
        monkeypatch.setattr(run, "_TOOLS", run._TOOLS[1:])
    elif changed == "cpu":
        family = next(f for f in ("vnni", "avx2") if f != run.ladder.cpu_family())
        monkeypatch.setattr(run.ladder, "cpu_family", lambda: family)
    else:
        monkeypatch.setattr(run.dataclasses, "fields", lambda _: [])
    assert inputs(project) != before


def test_the_same_inputs_give_the_same_bytes(tmp_path):
    """In two processes that order sets differently, and in two places; of the other candidates see ladder/."""
    bring(tmp_path / "a", "bert", "single-label", "small", tests=12, trains=12)
    shutil.copytree(tmp_path / "a", tmp_path / "elsewhere" / "b")
    roots = [tmp_path / "a", tmp_path / "elsewhere" / "b"]
    options = ("--candidate", "fp32", "--candidate", "int8-mixed")
    other = subprocess.Popen(
        [sys.executable, "-c", LUXE, "export", "small", "--root", roots[1], *options],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        stderr=subprocess.PIPE,
        text=True,
    )
    project = Project.open(roots[0])
    entry, names = catalog.load(project, "small"), ["fp32", "int8-mixed"]
    done = run.export(project, entry, project.checkpoint("small"), candidates=names)
    assert (done.version, done.reused) == (1, False) and done.precision in names
    said = other.communicate(timeout=300)[1]
    assert other.returncode == 0, said
    assert run.export(project, entry, project.checkpoint("small"), candidates=names).reused
    first, second = (root / "model_repository" for root in roots)
    manifests = [json.loads((root / "small/1/manifest.json").read_text(encoding="utf-8")) for root in (first, second)]
    hashes = [{c["candidate"]: c["sha256"] for c in manifest["candidates"]} for manifest in manifests]
    assert hashes[0] == hashes[1]
    assert set(hashes[0]) == {"fp32", "int8-mixed"} and None not in hashes[0].values()
    for manifest, root in zip(manifests, (first, second), strict=True):
        # Which one is faster may differ: times do.
        assert sha256(root / "small-engine/1/model.onnx") == hashes[0][manifest["precision"]]
    same = ("small/config.pbtxt", "small-engine/config.pbtxt", "small/labels.txt")
    for name in (*same, "small/1/luxe.json", "small/1/tokenizer.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    for key in ("inputs_sha256", "source", "tools"):
        assert manifests[0][key] == manifests[1][key]
    for one, two in zip(*(manifest["candidates"] for manifest in manifests), strict=True):
        assert one["findings"] == two["findings"]
        for key in ("metric", "agreement", "change", "batch_change", "file_bytes"):
            assert one["measurement"][key] == two["measurement"][key]


def test_a_spoilt_training_text_is_the_users_to_mend(tmp_path):
    """Not one candidate less: it is said, and nothing is published."""
    (tmp_path / "catalog").mkdir()
    bring(tmp_path, "distilbert", KINDS["single-label"], "colours")
    project = Project.open(tmp_path)
    with (project.data("colours") / "train.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"text": 3, "label": "red"}\n')
    with pytest.raises(UserError, match=r"colours/train\.jsonl line \d+: not a row of text-classification"):
        run.export(project, catalog.load(project, "colours"), project.checkpoint("colours"))
    assert not (project.repository / "colours").exists()
