"""What an export depends on, and that the same inputs give the same bytes."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from published import ONNX
from small_kinds import KINDS
from small_models import bring

from luxe import catalog
from luxe import repository as store
from luxe.errors import Rejected, UserError
from luxe.project import Project
from luxe.verify import verify
from luxe_export import run
from luxe_export.checkpoint import files
from luxe_export.gate import measurement
from luxe_export.publishing.publish import Parts, publish
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
        ("max_micro_batch = 16", "max_micro_batch = 9"),
        ("intra_op_threads = 1", "intra_op_threads = 2"),
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


@pytest.mark.parametrize("changed", ["tools", "cpu", "settings", "answers"])
def test_what_it_runs_on_is_an_input(project, monkeypatch, changed):
    before = inputs(project)
    if changed == "tools":
        monkeypatch.setattr(run, "_TOOLS", run._TOOLS[1:])
    elif changed == "cpu":
        family = next(f for f in ("vnni", "avx2") if f != run.ladder.cpu_family())
        monkeypatch.setattr(run.ladder, "cpu_family", lambda: family)
    elif changed == "answers":
        monkeypatch.setattr(run.tensors, "outputs", lambda entry, width: [])
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
    with pytest.raises(UserError, match=r'colours/train\.jsonl line \d+: "text" is empty or no text'):
        run.export(project, catalog.load(project, "colours"), project.checkpoint("colours"))
    assert not (project.repository / "colours").exists()


@pytest.fixture
def colours(tmp_path):
    """A small model to export."""
    bring(tmp_path, "distilbert", KINDS["single-label"], "colours", tests=12, trains=12)
    return Project.open(tmp_path)


def export(project, candidates=("fp32",), **options):
    entry = catalog.load(project, "colours")
    return run.export(project, entry, project.checkpoint("colours"), candidates=candidates, **options)


def test_what_is_up_to_date_but_not_signed_is_exported_again(colours, tmp_path):
    key = Ed25519PrivateKey.generate()
    pem = tmp_path / "private.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    done = [export(colours), export(colours, sign=pem), export(colours, sign=pem), export(colours)]
    assert [(outcome.version, outcome.reused) for outcome in done] == [(1, False), (2, False), (2, True), (2, True)]
    findings = verify(colours.repository, key=key.public_key()).findings
    assert [finding.path for finding in findings] == ["colours/1/manifest.json.sig"]


def test_a_publisher_that_was_killed_has_not_published_yet(project, capsys):
    """Its version is there, but what lies beside the versions is not the newest one's: an export ends that first."""
    given = inputs(project)

    def put(mark):
        engine = Parts(f"{NAME}-engine", {"config.pbtxt": mark}, {"model.onnx": ONNX})
        text = Parts(NAME, {"config.pbtxt": mark}, {"luxe.json": b"{}"})
        return publish(project.repository, engine, text, {"precision": "fp32", "inputs_sha256": given})

    put(b"old"), put(b"new")
    for entry in (NAME, f"{NAME}-engine"):
        (project.repository / entry / "config.pbtxt").write_bytes(b"old")
    store.save_state(project.repository, NAME, store.State(last=1, adding=2))
    entry = catalog.load(project, NAME)
    assert run.export(project, entry, project.checkpoint(NAME), candidates=STEPS).version == 2
    assert "up to date" in capsys.readouterr().err
    assert verify(project.repository).findings == []


def test_a_report_that_cannot_be_written_is_a_warning(colours, capsys):
    colours.reports.write_text("in the way", encoding="utf-8")
    assert export(colours, as_json=True).version == 1
    out, err = capsys.readouterr()
    said = json.loads(out)
    assert (said["version"], said["report"]) == (1, None)
    lines = err.splitlines()
    assert any(line.startswith("published colours version 1") for line in lines)
    (warning,) = [line for line in lines if "no report" in line]
    assert str(colours.reports) in warning
    assert store.versions(colours.repository / "colours") == [1]


def test_what_failed_is_named(colours, capsys, monkeypatch):
    """Building and measuring fail for different reasons. And that there is no report is not the reason of a refusal."""
    colours.reports.write_text("in the way", encoding="utf-8")
    build = run.ladder.build

    def broken(recipe, *arguments):
        if recipe.name == "int8-per-token":
            raise ValueError("no such operator")
        build(recipe, *arguments)

    def lost(*_, **__):
        raise MemoryError("killed")

    monkeypatch.setattr(run.ladder, "build", broken)
    monkeypatch.setattr(measurement, "measure", lost)
    with pytest.raises(Rejected, match=r"nothing was published$"):
        export(colours, ("fp32", "int8-per-token"))
    said = capsys.readouterr().err
    assert "fp32: not measured: MemoryError: killed" in said
    assert "int8-per-token: not built: ValueError: no such operator" in said
