import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from luxe_export.gpu import config as gpu_config
from luxe_export.gpu.profiles import Profile
from luxe_export.publishing import triton_config

INPUTS = ["input_ids", "attention_mask"]
PROFILES = (Profile((1, 1), (32, 16), (32, 24)), Profile((1, 1), (32, 128), (32, 128)))
GPU = pb.ModelInstanceGroup.KIND_GPU

# What NVIDIA's backend passes to ONNX Runtime's TensorRT provider (onnxruntime_backend: README, mapping table).
TENSORRT_PARAMETERS = {
    "precision_mode",
    "max_workspace_size_bytes",
    "trt_layer_norm_fp32_fallback",
    "trt_timing_cache_enable",
    "trt_timing_cache_path",
    "trt_profile_min_shapes",
    "trt_profile_opt_shapes",
    "trt_profile_max_shapes",
}


def read(config):
    """What Triton reads from the file that is written."""
    return text_format.Parse(triton_config.to_text(config), pb.ModelConfig())


@pytest.fixture
def cpu(entry):
    return read(triton_config.engine(entry, INPUTS))


def test_cuda(entry, cpu):
    config = read(triton_config.engine(entry, INPUTS, "cuda"))
    assert (config.backend, config.platform) == ("onnxruntime", "")
    assert config.default_model_filename == triton_config.engine_file("cuda") == "model.onnx"
    assert [(g.kind, g.count) for g in config.instance_group] == [(GPU, triton_config.instances(entry, "cuda"))]
    assert set(config.parameters) == {"enable_mem_pattern"}
    assert not config.HasField("optimization")
    assert (config.input, config.output) == (cpu.input, cpu.output)
    assert config.version_policy == cpu.version_policy


def test_cuda_with_tensorrt(entry):
    config = read(triton_config.engine(entry, INPUTS, "cuda", accelerators=["tensorrt"], profiles=PROFILES))
    (accelerator,) = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert accelerator.name == "tensorrt"
    parameters = dict(accelerator.parameters)
    assert parameters.keys() <= TENSORRT_PARAMETERS
    assert parameters["precision_mode"] == "FP16"
    assert parameters["trt_layer_norm_fp32_fallback"] == "1"
    assert parameters["trt_profile_min_shapes"] == "input_ids:1x1,attention_mask:1x1"
    assert parameters["trt_profile_opt_shapes"] == "input_ids:32x16,attention_mask:32x16"
    assert parameters["trt_profile_max_shapes"] == "input_ids:32x128,attention_mask:32x128"


def test_no_engine_is_cached_that_another_version_would_take(entry):
    config = read(triton_config.engine(entry, INPUTS, "cuda", accelerators=["tensorrt"], profiles=PROFILES))
    assert "trt_engine_cache_enable" not in triton_config.to_text(config)


def test_a_plan(entry, cpu):
    config = read(triton_config.engine(entry, INPUTS, "tensorrt", profiles=PROFILES))
    assert (config.backend, config.platform) == ("", "tensorrt_plan")
    assert config.default_model_filename == triton_config.engine_file("tensorrt") == "model.plan"
    assert config.max_batch_size == entry.serving.max_batch_size
    assert [(g.kind, list(g.profile)) for g in config.instance_group] == [(GPU, ["0", "1"])]
    assert not config.parameters
    assert (config.input, config.output) == (cpu.input, cpu.output)
    assert {i.data_type for i in config.input} == {pb.TYPE_INT64}
    assert config.version_policy == cpu.version_policy


def test_a_plan_needs_its_profiles(entry):
    with pytest.raises(ValueError, match="profiles"):
        triton_config.engine(entry, INPUTS, "tensorrt")


def test_an_unknown_accelerator(entry):
    with pytest.raises(ValueError, match="unknown execution accelerator 'openvino': there is tensorrt"):
        triton_config.engine(entry, INPUTS, "cuda", accelerators=["openvino"])


def test_the_cpu_config_stays(cpu):
    assert cpu.backend == "onnxruntime"
    assert cpu.instance_group[0].kind == pb.ModelInstanceGroup.KIND_CPU
    assert {"intra_op_thread_count", "inter_op_thread_count"} <= set(cpu.parameters)
    assert gpu_config.PLAN_FILE not in triton_config.to_text(cpu)
