"""No GPU here: exports for one are real ones, measured on the CPU; that there is no GPU is said."""

import json
import os

import pytest
from small_kinds import KINDS
from small_models import bring

from luxe import catalog
from luxe.errors import Rejected, UserError
from luxe.project import Project
from luxe_export.gpu import check as gpu_check

MEASURED = {"metric": 0.91, "agreement": 1.0, "change": 0.0004, "batch_change": None}
SHAPES = {"shapes": [{"batch": 1, "tokens": 6, "ms": 1.25}, {"batch": 8, "tokens": 15, "ms": 2.5}]}


def report(*candidates, winner):
    made = [
        {"candidate": name, "measurement": MEASURED, "latency": latency, "findings": findings}
        for name, latency, findings in candidates
    ]
    return {"candidates": made, "winner": winner, "metric_name": "macro-F1", "cpu": "two cores"}


def test_the_table():
    cpu = report(("fp32", SHAPES, []), ("int8-dynamic", SHAPES, ["agreement 0.9 is under 0.98", "no"]), winner="fp32")
    cuda = report(("fp16", None, []), winner=None)
    cuda["candidates"].append({"candidate": "fp32", "measurement": None, "latency": None, "findings": ["not built"]})
    assert gpu_check.markdown("m", "Some GPU, 560", {"cpu": cpu, "cuda": cuda}).splitlines() == [
        "`m` on Some GPU, 560; targets `cpu` on two cores.",
        "",
        "| target | candidate | macro-F1 | agreement | change | change in a batch | 1 × 6 tokens, ms "
        "| 8 × 15 tokens, ms |  |",
        "|---|---|---|---|---|---|---|---|---|",
        "| cpu | fp32 | 0.9100 | 1.0000 | 0.0004 | - | 1.25 | 2.50 | published |",
        "| cpu | int8-dynamic | 0.9100 | 1.0000 | 0.0004 | - | 1.25 | 2.50 | agreement 0.9 is under 0.98; no |",
        "| cuda | fp16 | 0.9100 | 1.0000 | 0.0004 | - | - | - | passes |",
        "| cuda | fp32 | - | - | - | - | - | - | not built |",
    ]


def test_the_table_of_what_nothing_could_be_built_of():
    broken = {"candidate": "fp32", "measurement": None, "latency": None, "findings": ["not built"]}
    lost = {"candidates": [broken], "winner": None, "metric_name": "macro-F1", "cpu": "two cores"}
    assert "| cpu | fp32 | - | - | - | - | not built |" in gpu_check.markdown("m", "GPU", {"cpu": lost})
    # The columns are there as soon as any target has them.
    both = gpu_check.markdown("m", "GPU", {"cpu": lost, "cuda": report(("fp16", SHAPES, []), winner="fp16")})
    assert "| cpu | fp32 | - | - | - | - | - | - | not built |" in both
    assert "| 1.25 | 2.50 | published |" in both


@pytest.fixture(scope="module")
def brought(tmp_path_factory):
    root = tmp_path_factory.mktemp("gpu-check")
    (root / "catalog").mkdir()
    bring(root, "distilbert", KINDS["single-label"], "colours")
    return Project.open(root)


@pytest.fixture
def pretended(monkeypatch):
    """A machine that has a GPU by name only: the exports are real, and measured on the CPU."""
    monkeypatch.setattr(gpu_check, "machine", lambda: "Some GPU, 560")
    monkeypatch.setattr(gpu_check, "targets", lambda: ("cpu", "cuda"))


@pytest.mark.usefixtures("pretended")
def test_every_target_is_exported(brought):
    folder = gpu_check.check(brought, catalog.load(brought, "colours"))
    assert folder == brought.reports / "gpu"
    whole = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    exports = whole["exports"]
    assert {t: (r["target"], r["version"]) for t, r in exports.items()} == {t: (t, 1) for t in ("cpu", "cuda")}
    assert exports["cuda"]["winner"] == "fp16"
    assert (folder / "table.md").read_text(encoding="utf-8").count("published") == 2
    assert not brought.repository.exists(), "the project's own models stay as they are"


@pytest.mark.usefixtures("pretended")
def test_a_target_that_nothing_passes_for(brought):
    entry = catalog.load(brought, "colours")
    strict = entry.model_copy(update={"quality": entry.quality.model_copy(update={"max_change": 0.0})})
    with pytest.raises(Rejected, match="for cpu, cuda passes the gate"):
        gpu_check.check(brought, strict)
    assert "largest change" in (brought.reports / "gpu" / "table.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("pretended")
def test_what_was_finished_is_kept_when_the_next_target_fails(shipped, entry, monkeypatch, tmp_path):
    def export(project, entry, root, target):
        if target == "cuda":
            raise UserError("TensorRT builds no engine")
        return report(("fp32", SHAPES, []), winner="fp32")

    monkeypatch.setattr(gpu_check, "_export", export)
    with pytest.raises(UserError, match="builds no engine"):
        gpu_check.check(Project(tmp_path), entry)
    written = json.loads((tmp_path / "reports" / "gpu" / "index.json").read_text())
    assert list(written["exports"]) == ["cpu"]
    assert "published" in (tmp_path / "reports" / "gpu" / "table.md").read_text()


@pytest.mark.usefixtures("pretended")
def test_an_empty_catalogue(monkeypatch, capsys, tmp_path):
    (tmp_path / "catalog").mkdir()
    monkeypatch.chdir(tmp_path)
    assert gpu_check.main([]) == 2
    assert capsys.readouterr().err == "luxe: gpu-check needs a model: the catalogue has none\n"


def test_without_a_driver(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="no nvidia-smi"):
        gpu_check.machine()


@pytest.fixture
def nvidia_smi(monkeypatch, tmp_path):
    """A program of that name in front of all others."""

    def make(script):
        path = tmp_path / "nvidia-smi"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    return make


def test_a_driver_without_a_gpu(nvidia_smi):
    nvidia_smi("echo No devices were found; exit 6")
    with pytest.raises(UserError, match=r"nvidia-smi finds none \(No devices were found\)"):
        gpu_check.machine()


def test_an_onnx_runtime_without_cuda(nvidia_smi, monkeypatch):
    import onnxruntime

    nvidia_smi("echo Some GPU, 560.35")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(UserError, match="pip install 'onnxruntime-gpu"):
        gpu_check.machine()


def test_the_command_says_in_one_line_what_is_missing(shipped, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(shipped.root)
    assert gpu_check.main([]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "luxe: gpu-check needs an NVIDIA GPU and its driver: there is no nvidia-smi on this machine"
    ]
