"""`luxe export` where nothing may be published, and what is in the repository."""

import json
import re

import pytest
from e2e_support import MODEL, assert_refused, luxe, manifest, set_key, tree

from luxe.onnx_file import MAX_IR_VERSION, MAX_OPSET
from luxe_export.gate.choice import EQUALLY_FAST

CANDIDATES = ("fp32", "int8-mixed", "int8-per-token", "int8-static", "int8-dynamic")


def test_a_second_export_publishes_nothing(copy):
    before = tree(copy.repository)
    done = luxe("export", MODEL, "--root", copy.root)
    assert done.status == 0, done.err
    assert f"{MODEL} version {manifest(copy)['version']}" in done.err
    assert "up to date" in done.err
    assert done.out == ""
    assert tree(copy.repository) == before


def test_json_of_what_is_published_already(copy):
    done = luxe("export", MODEL, "--root", copy.root, "--json")
    assert done.status == 0, done.err
    assert json.loads(done.out) == {**manifest(copy), "reused": True, "report": None}


def test_a_gate_that_nobody_passes_keeps_the_repository_as_it_was(copy):
    catalogue = copy.catalog / f"{MODEL}.toml"
    for key, value in (("min_metric", 0.99), ("max_change", 0.000001), ("min_agreement", 1.0)):
        set_key(catalogue, key, value)
    # The verdict does not depend on how many texts it is reached with.
    test = copy.data(MODEL) / "test.jsonl"
    test.write_text("".join(test.read_text(encoding="utf-8").splitlines(keepends=True)[:60]), encoding="utf-8")
    before = tree(copy.repository)
    two = CANDIDATES[0], CANDIDATES[-1]
    asked = [word for candidate in two for word in ("--candidate", candidate)]
    done = luxe("export", MODEL, "--root", copy.root, "--force", "--json", *asked, timeout_s=300)
    assert done.status == 1, done
    assert "Traceback" not in done.err
    assert re.match(rf"luxe: no candidate of {MODEL} passes .*nothing was published", done.err.splitlines()[-1])
    for candidate in two:
        findings = re.findall(rf"(?m)^\s*{candidate}: (.*)$", done.err)
        assert any(re.search(r"macro-F1 0\.\d+ is under 0\.99", finding) for finding in findings), done.err
        assert not any("not built" in finding for finding in findings), done.err
    assert tree(copy.repository) == before
    # Scratch folders lie beside the repository; the report of what was refused stays.
    assert {path.name for path in copy.root.iterdir()} == {
        *("catalog", "data", "checkpoints", "benchmarks", "model_repository", "reports")
    }
    assert (copy.root / "reports" / MODEL / "refused" / "index.html").is_file()
    said = json.loads(done.out)
    assert (said["version"], said["precision"]) == (None, None)
    assert (copy.root / said["report"]).is_file()
    assert all(candidate["findings"] for candidate in said["candidates"])


def test_a_missing_checkpoint(copy, tmp_path):
    missing = tmp_path / "nowhere"
    done = luxe("export", MODEL, "--root", copy.root, "--checkpoint", missing)
    assert_refused(done, "no checkpoint", missing, "luxe train")


def test_labels_other_than_the_catalogues(copy):
    config = copy.checkpoint(MODEL) / "config.json"
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace('"praise"', '"applause"'), encoding="utf-8")
    before = tree(copy.repository)
    assert_refused(luxe("export", MODEL, "--root", copy.root), "applause", f"catalog/{MODEL}.toml", "praise")
    assert tree(copy.repository) == before


def test_the_repository_holds_data_only(project):
    files = [path for path in project.repository.rglob("*") if path.is_file() and path.name[0] != "."]
    assert {path.name for path in files} == {
        *("config.pbtxt", "labels.txt", "luxe.json", "tokenizer.json", "manifest.json", "model.onnx")
    }
    assert not any(path.is_symlink() for path in project.repository.rglob("*"))
    assert {p.name for p in project.repository.iterdir() if p.is_dir()} == {MODEL, f"{MODEL}-engine"}
    assert not list(project.root.glob(".*luxe-*")), "scratch folders of the publisher"


def test_the_label_file_is_the_catalogues_labels(project, entry):
    lines = (project.repository / MODEL / "labels.txt").read_text(encoding="utf-8").splitlines()
    assert tuple(lines) == entry.labels


def test_the_manifest_says_what_was_measured(project, entry):
    from luxe_training.base import sha256

    published = manifest(project)
    engine = project.repository / f"{MODEL}-engine" / str(published["version"]) / "model.onnx"
    name = f"{MODEL}-engine/{published['version']}/model.onnx"
    assert published["files"][name]["sha256"] == sha256(engine)
    by_name = {candidate["candidate"]: candidate for candidate in published["candidates"]}
    assert tuple(by_name) == CANDIDATES
    winner = by_name[published["precision"]]
    assert winner["findings"] == []
    measured, quality = winner["measurement"], entry.quality
    assert measured["metric"] >= quality.min_metric
    assert measured["agreement"] >= quality.min_agreement
    assert measured["change"] <= quality.max_change
    assert measured["batch_change"] <= quality.max_batch_change
    # Ratios to fp32 in the same rounds decide; milliseconds are of machines that others share.
    passing = [c["latency"]["ratio"] for c in published["candidates"] if not c["findings"]]
    assert winner["latency"]["ratio"] <= min(passing) * EQUALLY_FAST
    assert published["source"]["sha256"]["adapter_model.safetensors"]
    assert (published["opset"], published["ir_version"]) <= (MAX_OPSET, MAX_IR_VERSION)
    json.dumps(published, allow_nan=False)


@pytest.mark.parametrize("name", ["nobody-has-this", "../comment-intent"])
def test_an_unknown_model(copy, name):
    assert_refused(luxe("export", name, "--root", copy.root), name, MODEL)
