"""Every candidate of every architecture and task: built, measured against PyTorch, and read by the target's runtime."""

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import conformance
import numpy as np
import pytest
from conformance_fleet import EXACT, FLEET, fleet_of
from e2e_support import ROOT, manifest

from luxe_serving.onnx_engine import session

DEPENDS_ON_NEIGHBOURS = {"int8-dynamic"}
TARGET_RUNTIME = "1.19.2"
"""ONNX Runtime in NVIDIA's Triton 24.10 image; see `luxe.onnx_file`."""

pytestmark = pytest.mark.timeout(1200)  # the first test waits for the whole fleet


@fleet_of
def test_every_candidate_was_built(fleet, name):
    published = manifest(fleet.project, name)
    found = {c["candidate"]: c["findings"] for c in published["candidates"] if c["measurement"] is None}
    assert found == {}
    assert tuple(sorted(fleet.measured(name))) == tuple(sorted(FLEET[name].candidates))


@pytest.mark.parametrize("name", [name for name, spec in FLEET.items() if "fp32" in spec.candidates])
def test_fp32_is_pytorch(fleet, name):
    measured = fleet.measured(name)["fp32"]
    assert measured["change"] <= EXACT
    assert measured["batch_change"] <= EXACT
    assert measured["agreement"] == 1.0
    assert measured["stopped"] is None


@pytest.mark.parametrize(
    ("name", "candidate"),
    [(name, candidate) for name, spec in FLEET.items() for candidate in spec.candidates if candidate != "fp32"],
)
def test_less_than_fp32_keeps_the_answers(fleet, name, candidate):
    measured = fleet.measured(name)[candidate]
    assert measured["stopped"] is None
    if FLEET[name].kind == "regression":  # a number is another answer when it is off by 0.1 deviations
        assert measured["metric"] >= 0.98
    else:
        assert measured["agreement"] >= (0.75 if candidate == "int4-weights" else 0.9)
    if candidate not in DEPENDS_ON_NEIGHBOURS:
        assert measured["batch_change"] <= EXACT


@pytest.fixture(scope="module")
def in_target_runtime(fleet, tmp_path_factory):
    """A folder with every published engine and candidate, its inputs, and what the target's ONNX Runtime answers."""
    installed = ROOT / ".tools" / f"onnxruntime-{TARGET_RUNTIME}"
    if not (installed / "onnxruntime").is_dir():
        pytest.fail(f"onnxruntime {TARGET_RUNTIME} is not in {installed}: run `make test-tools`", pytrace=False)
    folder = tmp_path_factory.mktemp("target-runtime")
    for name in FLEET:
        (engine,) = (fleet.project.repository / f"{name}-engine").glob("*/model.onnx")
        for path in (engine, *(fleet.built / name).glob("*.onnx")):
            kept = folder / f"{name}.{path.stem}.onnx"
            shutil.copyfile(path, kept)
            names = [value.name for value in session(path).get_inputs()]
            rows = fleet.brought[name].rows[:32]
            np.savez(kept.with_suffix(".inputs.npz"), **conformance.encode(fleet.brought[name], names, rows))
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("answer_onnx.py")), str(folder)],
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == TARGET_RUNTIME
    return folder


@fleet_of
def test_the_target_server_reads_every_candidate_and_answers_the_same(fleet, in_target_runtime, name):
    """The published engine and all that could have been published.

    Float differs in its last digits, so that now and then a number next to a rounding boundary becomes another level.
    """
    checked = []
    for path in sorted(in_target_runtime.glob(f"{name}.*.onnx")):
        with contextlib.suppress(FileNotFoundError):
            pytest.fail(f"{path.name}: {path.with_suffix('.error.txt').read_text(encoding='utf-8')}", pytrace=False)
        theirs = np.load(path.with_suffix(".output.npy"))
        with np.load(path.with_suffix(".inputs.npz")) as inputs:
            (ours,) = session(path).run(None, dict(inputs))
        moved = np.abs(ours - theirs).reshape(len(ours), -1).max(axis=1)
        candidate = path.stem.removeprefix(f"{name}.")
        if candidate == "fp32" or (candidate == "model" and FLEET[name].published == "fp32"):
            assert moved.max() <= 1e-3, path.name
        # What ONNX Runtime quantises by itself while it runs differs between its versions (DeBERTa-v2: by 0.06 of the
        # spread); our own integer products do not.
        if candidate != "int8-dynamic":
            assert (moved <= 1e-3).mean() >= 0.75, path.name
        assert moved.max() <= 0.1 * ours.std(), path.name
        if FLEET[name].kind != "feature-extraction":
            assert np.array_equal(ours.argmax(axis=-1), theirs.argmax(axis=-1)), path.name
        checked.append(path.name)
    assert len(checked) == 1 + len(FLEET[name].candidates)


@fleet_of
def test_what_was_measured_is_what_was_published(fleet, name):
    from luxe_training.base import sha256

    published = manifest(fleet.project, name)
    (engine,) = (fleet.project.repository / f"{name}-engine").glob("*/model.onnx")
    built = {c["candidate"]: c["sha256"] for c in published["candidates"]}
    assert {path.stem: sha256(path) for path in (fleet.built / name).glob("*.onnx")} == built
    assert sha256(engine) == built[published["precision"]]
