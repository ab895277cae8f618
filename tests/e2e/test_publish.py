"""What is published, on a real Triton: copies inside versions are ignored, and a running server outlives changes."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tritonclient import grpc as triton

from luxe import access
from luxe.errors import UserError
from luxe_export.publishing.prune import prune
from luxe_export.publishing.publish import Parts, publish
from luxe_export.publishing.rollback import rollback
from luxe_serving.launcher.serve import check, serve
from luxe_serving.launcher.server import free_address, running

MODEL = "colours"

CONFIG = """
name: "{name}" backend: "onnxruntime" max_batch_size: 8 default_model_filename: "model.onnx"
input {{ name: "numbers" data_type: TYPE_FP32 dims: [ -1 ] }}
output {{ name: "sums" data_type: TYPE_FP32 dims: [ -1 ] label_filename: "labels.txt" }}
instance_group {{ kind: KIND_CPU count: 1 }}
version_policy {{ latest {{ num_versions: {versions} }} }}
"""


def model(addend):
    """A model that adds a number to what it gets."""
    numbers, sums = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", "t"]) for n in ("numbers", "sums"))
    constant = helper.make_tensor("addend", TensorProto.FLOAT, [], [float(addend)])
    node = helper.make_node("Add", ["numbers", "addend"], ["sums"])
    graph = helper.make_graph([node], "adds", [numbers], [sums], [constant])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8).SerializeToString()


def put(repository, addend):
    """Publish a pair of which both halves are plain ONNX models, and the text half has labels."""
    entries = [
        Parts(
            name,
            {"config.pbtxt": CONFIG.format(name=name, versions=versions).encode(), "labels.txt": b"red\n"},
            {"model.onnx": model(addend)},
        )
        for name, versions in ((f"{MODEL}-engine", 2), (MODEL, 1))
    ]
    return publish(repository, *entries, {"onnx": onnx.__version__})


def answer(server, name=MODEL):
    tensor = triton.InferInput("numbers", [1, 1], "FP32")
    tensor.set_data_from_numpy(np.zeros((1, 1), np.float32))
    with triton.InferenceServerClient(server.address.grpc) as client:
        return client.infer(name, [tensor]).as_numpy("sums").item()


@pytest.fixture
def repository(tmp_path):
    for addend in (1, 2, 3):
        put(tmp_path / "model_repository", addend)
    return tmp_path / "model_repository"


def test_a_rollback_is_what_the_next_server_serves(repository, tmp_path):
    check(repository)
    with running(repository, free_address(), tmp_path / "first.log") as server:
        assert answer(server) == answer(server, f"{MODEL}-engine") == 3
        assert rollback(repository, MODEL) == (4, 2)
        assert prune(repository, MODEL, keep=1) == [1, 2, 3]
        # What is loaded stays loaded.
        assert answer(server) == answer(server, f"{MODEL}-engine") == 3
    check(repository)
    with running(repository, free_address(), tmp_path / "second.log") as server:
        assert answer(server) == answer(server, f"{MODEL}-engine") == 2
    assert "ignor" not in (tmp_path / "second.log").read_text()


def test_serve_refuses_what_was_changed(repository, tmp_path, capfd):
    engine = repository / f"{MODEL}-engine" / "3" / "model.onnx"
    engine.write_bytes(engine.read_bytes()[:-1] + b"\x00")
    with pytest.raises(UserError, match="sha256"):
        serve(repository, free_address(), tmp_path / "log")
    assert not (tmp_path / "log").exists(), "a server was started"
    # A second finding: each is a line of its own.
    (repository / MODEL / "3" / "model.onnx").unlink()
    with pytest.raises(UserError, match="2 findings"):
        serve(repository, free_address(), tmp_path / "log")
    lines = capfd.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith(f"luxe: {MODEL}/3/model.onnx: missing")]
    with access.writing(repository):  # the lock went with the refusal
        pass
