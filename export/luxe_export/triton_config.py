"""Triton model configurations, built through the protobuf so that nothing can be misspelled.

The same files serve on the embedded server and on NVIDIA's image: every key and parameter is one that the
native onnxruntime backend knows.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from luxe.catalog import Entry

__all__ = ["ENGINE_FILE", "LABELS_FILE", "engine", "engine_name", "text", "to_text"]

ENGINE_FILE = "model.onnx"
LABELS_FILE = "labels.txt"

_VERSIONS = 2
"""Engine versions kept loaded, so that a pipeline never loses its own during an update."""


def engine_name(model: str) -> str:
    """Return the name of a model's engine entry."""
    return f"{model}-engine"


def engine(entry: Entry, inputs: list[str]) -> Any:
    """Return the config of the engine: token tensors [N, T] in, logits [N, L] out."""
    config = pb.ModelConfig(
        name=engine_name(entry.name),
        backend="onnxruntime",
        max_batch_size=entry.serving.max_batch_size,
        default_model_filename=ENGINE_FILE,
        input=[pb.ModelInput(name=name, data_type=pb.TYPE_INT64, dims=[-1]) for name in inputs],
        output=[pb.ModelOutput(name="logits", data_type=pb.TYPE_FP32, dims=[len(entry.labels)])],
        instance_group=[pb.ModelInstanceGroup(kind=_CPU, count=entry.serving.engine_instances)],
        version_policy=_latest(_VERSIONS),
    )
    config.parameters["intra_op_thread_count"].string_value = str(entry.serving.intra_op_threads)
    config.parameters["inter_op_thread_count"].string_value = "1"
    # The arena keeps a plan for every shape it has seen, and texts have many shapes (onnxruntime_backend#102).
    config.parameters["enable_mem_pattern"].string_value = "0"
    return config


def text(entry: Entry) -> Any:
    """Return the config of the model that people call: texts in, probabilities and labels out."""
    labels = len(entry.labels)
    config = pb.ModelConfig(
        name=entry.name,
        backend="luxe_text",
        max_batch_size=entry.serving.max_batch_size,
        input=[pb.ModelInput(name="text", data_type=pb.TYPE_STRING, dims=[1])],
        output=[
            # With a label file, any V2 client gets labels through `class_count`.
            pb.ModelOutput(name="scores", data_type=pb.TYPE_FP32, dims=[labels], label_filename=LABELS_FILE),
            pb.ModelOutput(name="labels", data_type=pb.TYPE_STRING, dims=[labels]),
            pb.ModelOutput(name="needs_review", data_type=pb.TYPE_BOOL, dims=[1]),
            pb.ModelOutput(name="truncated", data_type=pb.TYPE_BOOL, dims=[1]),
        ],
        instance_group=[pb.ModelInstanceGroup(kind=_CPU, count=1)],
        version_policy=_latest(1),
    )
    # No delay: an idle server waits for nobody. Under load the queue itself makes the batches.
    config.dynamic_batching.max_queue_delay_microseconds = 0
    policy = config.dynamic_batching.default_queue_policy
    policy.max_queue_size = entry.serving.max_queue
    policy.timeout_action = pb.ModelQueuePolicy.REJECT
    # A request's own `timeout` counts, so that nobody computes for a caller who has left.
    policy.allow_timeout_override = True
    return config


def to_text(config: Any) -> str:
    """Return a config as ``config.pbtxt``."""
    return str(text_format.MessageToString(config))


_CPU = pb.ModelInstanceGroup.KIND_CPU


def _latest(count: int) -> Any:
    return pb.ModelVersionPolicy(latest=pb.ModelVersionPolicy.Latest(num_versions=count))
