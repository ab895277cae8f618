"""No TensorRT here: what is tested is what is asked of it, by the names that its Python bindings have."""

import re
import sys
import types

import onnx
import pytest
from checkout import ROOT
from onnx import TensorProto, helper

from luxe.errors import UserError
from luxe_export.gpu import tensorrt_plan
from luxe_export.gpu.profiles import Profile

PROFILES = (Profile((1, 1), (8, 16), (8, 24)), Profile((1, 1), (8, 64), (8, 64)))


@pytest.fixture
def graph(tmp_path):
    return save(tmp_path / "model.onnx", helper.make_node("Identity", ["input_ids"], ["logits"]))


def save(path, node):
    made = helper.make_graph(
        [node],
        "graph",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["n", "t"])],
        [helper.make_tensor_value_info("logits", TensorProto.INT64, ["n", "t"])],
    )
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


class FakeTensorRT(types.ModuleType):
    """Records what it is asked; builds the bytes ``plan``."""

    def __init__(self, version="10.5.0"):
        super().__init__("tensorrt")
        self.__version__ = version
        self.errors, self.plan, self.gpu = [], b"plan", True
        self.flags, self.shapes, self.caches, self.used = None, [], [], None
        self.matching = {b""}
        self.NetworkDefinitionCreationFlag = types.SimpleNamespace(STRONGLY_TYPED=1)
        fake = self

        class Logger:
            ERROR = 1

            def __init__(self, severity):
                pass

        class Cache:
            def __init__(self, content):
                self.content = content

            def serialize(self):
                return memoryview(self.content + b"+timings")

        class Profile:
            def __init__(self):
                self.inputs = {}

            def set_shape(self, name, smallest, tuned, largest):
                self.inputs[name] = (smallest, tuned, largest)

        class Config:
            def add_optimization_profile(self, profile):
                fake.shapes.append(profile.inputs)
                return len(fake.shapes) - 1

            def create_timing_cache(self, content):
                fake.caches.append(content)
                return Cache(content)

            def set_timing_cache(self, cache, ignore_mismatch):
                assert not ignore_mismatch
                fake.used = cache.content
                return cache.content in fake.matching

        class Builder:
            def __init__(self, logger):
                if not fake.gpu:
                    raise TypeError("pybind11::init(): factory function returned nullptr")

            def create_network(self, flags):
                fake.flags = flags
                tensors = [types.SimpleNamespace(name=n) for n in ("input_ids", "attention_mask")]
                return types.SimpleNamespace(num_inputs=2, get_input=tensors.__getitem__)

            def create_builder_config(self):
                return Config()

            def create_optimization_profile(self):
                return Profile()

            def build_serialized_network(self, network, config):
                return fake.plan

        class OnnxParser:
            num_errors = property(lambda self: len(fake.errors))

            def __init__(self, network, logger):
                pass

            def parse_from_file(self, path):
                return not fake.errors

            def get_error(self, i):
                return types.SimpleNamespace(desc=lambda: fake.errors[i])

        self.Logger, self.Builder, self.OnnxParser = Logger, Builder, OnnxParser


@pytest.fixture
def tensorrt(monkeypatch):
    fake = FakeTensorRT()
    monkeypatch.setitem(sys.modules, "tensorrt", fake)
    return fake


@pytest.fixture
def build(graph, tmp_path):
    def run(source=graph):
        tensorrt_plan.build(source, tmp_path / "model.plan", PROFILES, tmp_path / "cache" / "timing")
        return tmp_path / "model.plan"

    return run


def test_a_plan(tensorrt, build, tmp_path):
    assert build().read_bytes() == b"plan"
    assert tensorrt.flags == 1 << 1  # strongly typed
    shapes = [((1, 1), (8, 16), (8, 24)), ((1, 1), (8, 64), (8, 64))]
    assert tensorrt.shapes == [{"input_ids": s, "attention_mask": s} for s in shapes]
    assert (tmp_path / "cache" / "timing").read_bytes() == b"+timings"
    assert [p.name for p in (tmp_path / "cache").iterdir()] == ["timing"]


def test_timings_are_kept_for_the_next_build(tensorrt, build):
    tensorrt.matching.add(b"+timings")
    build()
    build()
    assert tensorrt.caches == [b"", b"+timings"]


def test_timings_of_another_gpu_are_left_out(tensorrt, build, tmp_path):
    build()
    build()
    assert tensorrt.caches == [b"", b"+timings", b""]
    assert tensorrt.used == b""
    assert (tmp_path / "cache" / "timing").read_bytes() == b"+timings"


def test_what_the_parser_cannot_read_is_one_line(tensorrt, build, tmp_path):
    tensorrt.errors = ["In node 3 (Foo):\n  UNSUPPORTED", "second"]
    with pytest.raises(ValueError, match=r"^TensorRT cannot read model\.onnx: In node 3 \(Foo\): UNSUPPORTED; second$"):
        build()
    assert not (tmp_path / "model.plan").exists()


def test_no_engine(tensorrt, build, tmp_path):
    tensorrt.plan = None
    with pytest.raises(ValueError, match=r"TensorRT builds no engine from model\.onnx"):
        build()
    assert not (tmp_path / "model.plan").exists()


def test_a_graph_that_onnx_runtime_fused(tensorrt, build, tmp_path):
    node = helper.make_node("SkipLayerNormalization", ["input_ids"], ["logits"], domain="com.microsoft")
    with pytest.raises(ValueError, match="TensorRT knows no SkipLayerNormalization"):
        build(save(tmp_path / "fused.onnx", node))


def test_no_gpu(tensorrt, build):
    tensorrt.gpu = False
    with pytest.raises(UserError, match="TensorRT finds no GPU"):
        build()


def test_an_old_release(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", FakeTensorRT("8.6.1"))
    with pytest.raises(UserError, match=r"TensorRT 8\.6\.1 is too old"):
        tensorrt_plan.check()


def test_without_tensorrt_the_error_says_how(monkeypatch, build):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(UserError, match="pip install 'tensorrt-cu12") as error:
        build()
    message = str(error.value)
    assert "\n" not in message
    assert f" {tensorrt_plan.IMAGE} " in message
    assert message.endswith('luxe export NAME --target tensorrt"')


def test_the_image_is_the_one_that_serves():
    (image,) = re.findall(r"^ARG TRITON_IMAGE=(\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert image == tensorrt_plan.IMAGE
