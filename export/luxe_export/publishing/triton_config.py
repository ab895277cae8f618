"""Triton model configurations, built through the protobuf so that nothing can be misspelled.

The same files serve on the embedded server and on NVIDIA's image: every key and parameter is one that the
native onnxruntime backend knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from luxe.manifest import engine_name
from luxe.schema import Entry, Serving
from luxe.verify import LOADED
from luxe_export.gpu import config as gpu_config
from luxe_export.gpu.profiles import Profile
from luxe_serving.launcher.override import AUTO_INSTANCES
from luxe_serving.text import tensors
from luxe_serving.text.tensors import Tensor

__all__ = [
    "ENGINE_FILE",
    "LABELS_FILE",
    "Target",
    "engine",
    "engine_file",
    "instances",
    "output_name",
    "set_engine",
    "set_text",
    "text",
    "to_text",
]

Target = Literal["cpu", "cuda", "tensorrt"]
"""What an engine is built for: ONNX on a CPU, ONNX on a GPU, or a TensorRT plan, which is for a GPU too."""

ENGINE_FILE = "model.onnx"
LABELS_FILE = "labels.txt"


def output_name(entry: Entry) -> str:
    """Return the name of the engine's output."""
    return "embeddings" if entry.task == "feature-extraction" else "logits"


_INSTANCES = 2
"""Where nobody counts the cores: on a GPU, and on NVIDIA's image, without luxe's launcher."""


def engine_file(target: Target) -> str:
    """Return the name of the engine's file in its version's folder."""
    return gpu_config.PLAN_FILE if target == "tensorrt" else ENGINE_FILE


def instances(entry: Entry, target: Target) -> int | None:
    """Return the engine's instances; None leaves them to the launcher, which counts the cores."""
    return _instances(entry.serving, target)


def engine(
    entry: Entry,
    inputs: list[str],
    target: Target = "cpu",
    *,
    width: int | None = None,
    accelerators: Sequence[str] = (),
    profiles: Sequence[Profile] = (),
) -> Any:
    """Return the config of the engine: token tensors [N, T] in, logits or embeddings [N, width] out.

    Of token-classification logits [N, T, width].

    Args:
        entry: of the catalogue.
        inputs: of the ONNX file.
        width: last dimension of its output; needed for zero-shot-classification (the classes of the NLI model) and
            for feature-extraction, known from the entry otherwise.
        target: what the file was built for.
        accelerators: for "cuda", as `luxe_export.gpu.config.to_cuda` takes them.
        profiles: shapes that a plan was built for, or that an accelerator may expect.

    Raises:
        ValueError: a plan without profiles, or an unknown accelerator.
    """
    config = pb.ModelConfig(
        name=engine_name(entry.name),
        backend="onnxruntime",
        default_model_filename=ENGINE_FILE,
        input=[pb.ModelInput(name=name, data_type=pb.TYPE_INT64, dims=[-1]) for name in inputs],
        output=[_engine_output(entry, width)],
        # So that a pipeline never loses its own during an update.
        version_policy=_latest(LOADED),
    )
    set_engine(config, entry.serving, target)
    config.parameters["inter_op_thread_count"].string_value = "1"
    # The arena keeps a plan for every shape it has seen, and texts have many shapes (onnxruntime_backend#102).
    config.parameters["enable_mem_pattern"].string_value = "0"
    if target == "cuda":
        gpu_config.to_cuda(config, accelerators, profiles)
    elif target == "tensorrt":
        gpu_config.to_plan(config, profiles)
    return config


def text(entry: Entry, *, width: int | None = None) -> Any:
    """Return the config of the model that people call: texts in, answers out; ``width`` as of `engine`."""
    config = pb.ModelConfig(
        name=entry.name,
        backend="luxe_text",
        input=[_text_input(tensor) for tensor in tensors.inputs(entry)],
        output=[_text_output(entry, tensor) for tensor in tensors.outputs(entry, _width(entry, width))],
        instance_group=[pb.ModelInstanceGroup(kind=_CPU, count=1)],
        version_policy=_latest(1),
    )
    set_text(config, entry.serving)
    policy = config.dynamic_batching.default_queue_policy
    policy.timeout_action = pb.ModelQueuePolicy.REJECT
    # A request's own `timeout` counts, so that nobody computes for a caller who has left.
    policy.allow_timeout_override = True
    return config


def set_engine(config: Any, serving: Serving, target: Target = "cpu") -> None:
    """Write into an engine's config what `[serving]` says of it, in place of what it said before."""
    count = _instances(serving, target)
    config.max_batch_size = serving.max_batch_size
    del config.instance_group[:]
    config.instance_group.add(kind=_CPU, count=count or _INSTANCES)
    config.parameters["intra_op_thread_count"].string_value = str(serving.intra_op_threads)
    config.parameters.pop(AUTO_INSTANCES, None)
    if count is None:
        config.parameters[AUTO_INSTANCES].string_value = "auto"  # for the launcher; the backends do not know it


def set_text(config: Any, serving: Serving) -> None:
    """Write into a text model's config what `[serving]` says of it, in place of what it said before."""
    config.max_batch_size = serving.max_batch_size
    config.dynamic_batching.max_queue_delay_microseconds = serving.max_queue_delay_us
    config.dynamic_batching.default_queue_policy.max_queue_size = serving.max_queue


def to_text(config: Any) -> str:
    """Return a config as ``config.pbtxt``."""
    return str(text_format.MessageToString(config))


_CPU = pb.ModelInstanceGroup.KIND_CPU
_TYPES = {"BYTES": pb.TYPE_STRING, "BOOL": pb.TYPE_BOOL, "INT32": pb.TYPE_INT32, "FP32": pb.TYPE_FP32}


def _instances(serving: Serving, target: Target) -> int | None:
    return serving.engine_instances or (None if target == "cpu" else _INSTANCES)


def _engine_output(entry: Entry, width: int | None) -> Any:
    dims = [_width(entry, width)]
    if entry.task == "token-classification":
        dims.insert(0, -1)
    return pb.ModelOutput(name=output_name(entry), data_type=pb.TYPE_FP32, dims=dims)


def _text_input(tensor: Tensor) -> Any:
    # Requests with other numbers of candidate labels share a dynamic batch.
    ragged = -1 in tensor.dims
    return pb.ModelInput(
        name=tensor.name,
        data_type=_TYPES[tensor.datatype],
        dims=tensor.dims,
        optional=tensor.optional,
        allow_ragged_batch=ragged,
    )


def _text_output(entry: Entry, tensor: Tensor) -> Any:
    # With a label file, any V2 client gets labels through `class_count`.
    named = entry.task == "text-classification" and tensor.name == "scores"
    return pb.ModelOutput(
        name=tensor.name,
        data_type=_TYPES[tensor.datatype],
        dims=tensor.dims,
        label_filename=LABELS_FILE if named else "",
    )


def _width(entry: Entry, width: int | None) -> int:
    """Return the last dimension of the engine's output."""
    if width is None and entry.task in ("zero-shot-classification", "feature-extraction"):
        raise ValueError(f"the catalogue does not say how wide the engine of a {entry.task} model is")
    known = 1 if entry.task == "text-ranking" else len(entry.labels)
    return known if width is None else width


def _latest(count: int) -> Any:
    return pb.ModelVersionPolicy(latest=pb.ModelVersionPolicy.Latest(num_versions=count))
