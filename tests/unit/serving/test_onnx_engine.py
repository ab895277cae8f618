import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from luxe_serving.onnx_engine import OnnxEngine, session


@pytest.fixture
def double(tmp_path):
    """An ONNX file that adds its input to itself."""
    made = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        "double",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])],
    )
    onnx.save(
        helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), tmp_path / "model.onnx"
    )
    return tmp_path / "model.onnx"


def test_an_engine_runs_on_the_cpu(double):
    engine = OnnxEngine(double, {"intra_op_thread_count": "1"})
    assert engine.run(["y"], {"x": np.array([2.0], np.float32)})[0].tolist() == [4.0]


def test_without_cuda_a_gpu_engine_does_not_run_on_the_cpu(double, monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(RuntimeError, match=r"no CUDA: install onnxruntime-gpu"):
        OnnxEngine(double, {}, gpu=0)


def test_cuda_that_does_not_start_is_an_error(double, monkeypatch):
    """Onnxruntime-gpu on a machine without CUDA's libraries only warns, and takes the CPU."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    warned = pytest.warns(UserWarning, match="CUDAExecutionProvider")
    with warned, pytest.raises(RuntimeError, match="GPU 3, and CUDA or cuDNN did not start"):
        session(double, gpu=3)


def test_an_accelerator_of_the_native_backend_is_an_error(double):
    with pytest.raises(RuntimeError, match="execution accelerator tensorrt, which only NVIDIA's image has"):
        OnnxEngine(double, {}, accelerators=["tensorrt"])
