"""No GPU here: CPU sessions stand in for the engines; that there is no GPU is said."""

import json
import os
import shutil
import types

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from luxe.errors import UserError
from luxe_export import evaluation, gpu_check
from luxe_export.gpu_check import Line, Parity
from luxe_export.reference import Meaning, Reference
from luxe_serving import answers
from luxe_serving.onnx_engine import session

MEANING = Meaning("text-classification", "single_label_classification", "sigmoid")
TABLE = np.random.default_rng(20).normal(size=(60, 3)).astype(np.float32) * 3


def save(path, table):
    """Logits are the sum of a row's tokens."""
    axis = numpy_helper.from_array(np.array([1], np.int64), "axis")
    made = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "input_ids"], ["x"]),
            helper.make_node("ReduceSum", ["x", "axis"], ["logits"], keepdims=0),
        ],
        "sum",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["n", "t"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(table, "table"), axis],
    )
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return session(path)


@pytest.fixture
def reference(entry, tmp_path):
    small = entry.model_copy(update={"labels": ("red", "green", "blue")})
    rng = np.random.default_rng(3)
    rows = [rng.integers(1, 60, rng.integers(2, 9)).tolist() for _ in range(40)]
    logits = np.stack([TABLE[row].sum(axis=0) for row in rows])
    labels = [small.labels[i] for i in logits.argmax(axis=1)]
    lines = (json.dumps({"text": f"text {i}", "label": label}) for i, label in enumerate(labels))
    (tmp_path / "test.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return Reference(
        evaluation.load(small, tmp_path, types.SimpleNamespace()),
        [{"input_ids": row} for row in rows],
        list(answers.activate(MEANING, logits)),
        MEANING,
        16,
        0,
    )


def without_padding(table):
    return np.vstack([np.zeros((1, 3), np.float32), table[1:]])


def test_an_engine_that_agrees(reference, entry, tmp_path):
    found = gpu_check.parity("cuda", save(tmp_path / "same.onnx", without_padding(TABLE)), reference)
    assert found.agreement == 1
    assert found.change < 1e-5
    assert not found.findings(entry.quality)


def test_an_engine_that_does_not(reference, entry, tmp_path):
    swapped = without_padding(TABLE)[:, ::-1].copy()
    found = gpu_check.parity("cuda", save(tmp_path / "swapped.onnx", swapped), reference)
    assert [f.split()[1] for f in found.findings(entry.quality)] == ["agreement", "largest"]


def test_an_engine_that_answers_no_number(reference, entry, tmp_path):
    broken = without_padding(TABLE)
    broken[7] = np.nan
    found = gpu_check.parity("cuda", save(tmp_path / "nan.onnx", broken), reference)
    assert np.isnan(found.change)
    assert len(found.findings(entry.quality)) == 2


def test_times_of_every_shape(reference, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_check, "_BUDGET_S", 0.0)
    engines = {name: save(tmp_path / f"{name}.onnx", TABLE) for name in ("cpu", "cuda")}
    timed = gpu_check.lines(engines, reference)
    shapes = {(line.batch, line.tokens) for line in timed}
    assert sorted({batch for batch, _ in shapes}) == [1, 8, 32]
    assert len(shapes) == 6
    assert len(timed) == 12
    assert all(line.ms > 0 for line in timed)


def test_the_table():
    timed = [Line("cpu", 1, 8, 2.0), Line("cuda", 1, 8, 0.5), Line("cpu", 8, 8, 9.0), Line("cuda", 8, 8, 0.75)]
    text = gpu_check.markdown("`m` on a GPU", [Parity("cpu", 1.0, 0.001), Parity("cuda", 0.99, 0.01)], timed)
    assert text.splitlines() == [
        "`m` on a GPU",
        "",
        "| engine | agreement | largest change |",
        "|---|---|---|",
        "| cpu | 1.0000 | 0.00100 |",
        "| cuda | 0.9900 | 0.01000 |",
        "",
        "Milliseconds a batch, median:",
        "",
        "| batch | tokens | cpu | cuda |",
        "|---|---|---|---|",
        "| 1 | 8 | 2.00 | 0.50 |",
        "| 8 | 8 | 9.00 | 0.75 |",
    ]


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


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="there may be a GPU")
def test_the_command_says_in_one_line_what_is_missing(shipped, monkeypatch, capsys):
    monkeypatch.chdir(shipped.root)
    assert gpu_check.main([]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "luxe: gpu-check needs an NVIDIA GPU and its driver: there is no nvidia-smi on this machine"
    ]
