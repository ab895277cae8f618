"""An engine's Triton configuration, moved from the CPU to a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tritonclient.grpc import model_config_pb2 as pb

from luxe_export.gpu.profiles import Profile, span

__all__ = ["ACCELERATORS", "PLAN_FILE", "to_cuda", "to_plan"]

PLAN_FILE = "model.plan"
ACCELERATORS = ("tensorrt",)
"""What `to_cuda` may be asked for, by Triton's names; the CUDA provider takes the rest of the graph."""


def to_cuda(config: Any, accelerators: Sequence[str] = (), profiles: Sequence[Profile] = ()) -> None:
    """Make an ONNX engine run on the CUDA execution provider, which the native backend puts on every GPU instance.

    Args:
        config: what `luxe_export.publishing.triton_config.engine` makes for the CPU; changed in place.
        accelerators: Triton's ``gpu_execution_accelerator`` names, in order of preference.
        profiles: shapes to expect, for an accelerator that builds engines for shapes.

    Raises:
        ValueError: an accelerator that is none of `ACCELERATORS`.
    """
    _to_gpu(config)
    # Counted in CPU threads, of which a GPU instance needs one.
    for name in ("intra_op_thread_count", "inter_op_thread_count"):
        config.parameters.pop(name, None)
    for name in accelerators:
        if name not in ACCELERATORS:
            raise ValueError(f"unknown execution accelerator {name!r}: there is {', '.join(ACCELERATORS)}")
        accelerator = config.optimization.execution_accelerators.gpu_execution_accelerator.add(name=name)
        accelerator.parameters.update(_tensorrt([i.name for i in config.input], profiles))


def to_plan(config: Any, profiles: Sequence[Profile]) -> None:
    """Make an ONNX engine's config that of a TensorRT plan; the tensors stay: int64 in (since TensorRT 10), fp32 out.

    Args:
        config: as of `to_cuda`.
        profiles: all that the plan was built with, in order.

    Raises:
        ValueError: no profiles.
    """
    if not profiles:
        raise ValueError("a plan's config must list its profiles")
    _to_gpu(config)
    config.ClearField("backend")
    config.ClearField("parameters")
    config.platform = "tensorrt_plan"
    config.default_model_filename = PLAN_FILE
    # Without the list Triton takes the first alone, and refuses every shape that only another covers (server#8629).
    config.instance_group[0].profile.extend(str(i) for i in range(len(profiles)))


def _to_gpu(config: Any) -> None:
    config.instance_group[0].kind = pb.ModelInstanceGroup.KIND_GPU


def _tensorrt(inputs: list[str], profiles: Sequence[Profile]) -> dict[str, str]:
    """Return the TensorRT provider's options, by the names of the native backend (onnxruntime_backend, README).

    Kernel timings are cached, for they depend on shapes alone; engines are not. ONNX Runtime names a cached engine
    after the model's file name and its tensors, without its weights, so version 2 would answer with the weights of
    version 1 (onnxruntime: TRTGenerateId; onnxruntime_backend#124).
    """
    options = {
        "precision_mode": "FP16",
        "trt_layer_norm_fp32_fallback": "1",
        "trt_timing_cache_enable": "1",
        # The repository is read-only where it is served; this is a tmpfs there.
        "trt_timing_cache_path": "/tmp",
    }
    if profiles:  # else a new shape builds a new engine, while its caller waits
        whole = span(profiles)
        for kind, (batch, length) in {"min": whole.smallest, "opt": whole.tuned, "max": whole.largest}.items():
            options[f"trt_profile_{kind}_shapes"] = ",".join(f"{name}:{batch}x{length}" for name in inputs)
    return options
