"""An ONNX file as Triton's native onnxruntime backend would run it, by the same parameter names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["OnnxEngine", "session"]

_CUDA = "CUDAExecutionProvider"


def session(
    path: Path,
    *,
    intra_op_threads: int = 1,
    inter_op_threads: int = 1,
    mem_pattern: bool = False,
    gpu: int | None = None,
) -> Any:
    """Open an ONNX Runtime session as it is served: the gate measures the same one.

    Args:
        path: the ONNX file.
        intra_op_threads: within a node; 0 means all cores.
        inter_op_threads: across nodes.
        mem_pattern: plan memory by shape.
        gpu: number of the GPU that runs it with CUDA; None means the CPU.

    Raises:
        RuntimeError: a GPU was asked for, and this ONNX Runtime cannot use it. It never runs on the CPU instead.
    """
    import onnxruntime

    if gpu is not None and _CUDA not in onnxruntime.get_available_providers():
        raise RuntimeError(
            f"{path.name} is to run on a GPU, and this onnxruntime has no CUDA: install onnxruntime-gpu in its place "
            "(pip uninstall onnxruntime; pip install onnxruntime-gpu), or serve on NVIDIA's image, which brings it"
        )

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = intra_op_threads
    options.inter_op_num_threads = inter_op_threads
    # A spinning thread burns a core that the next instance needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_mem_pattern = mem_pattern
    options.log_severity_level = 3
    providers = ["CPUExecutionProvider"] if gpu is None else [(_CUDA, {"device_id": str(gpu)})]
    opened = onnxruntime.InferenceSession(str(path), options, providers=providers)
    # Where CUDA's libraries are missing it only logs, and goes on without.
    if gpu is not None and opened.get_providers()[0] != _CUDA:
        raise RuntimeError(
            f"{path.name} is to run on GPU {gpu}, and CUDA or cuDNN did not start: `nvidia-smi` shows why"
        )
    return opened


class OnnxEngine:
    """One instance of a model.

    Args:
        path: the ONNX file.
        parameters: the ``parameters`` of the model's config, with the names of the native backend.
        gpu: as of `session`; Triton says it of a KIND_GPU instance.
        accelerators: ``gpu_execution_accelerator`` of the config, which only the native backend has.

    Raises:
        RuntimeError: what the config asks for is not here.
    """

    def __init__(
        self, path: Path, parameters: Mapping[str, str], *, gpu: int | None = None, accelerators: Sequence[str] = ()
    ) -> None:
        if accelerators:
            raise RuntimeError(
                f"{path.name} asks for the execution accelerator {accelerators[0]}, which only NVIDIA's image has: "
                "serve there, or export without [serving] execution_accelerators"
            )
        self._session = session(
            path,
            intra_op_threads=int(parameters.get("intra_op_thread_count", "0")),
            inter_op_threads=int(parameters.get("inter_op_thread_count", "1")),
            mem_pattern=parameters.get("enable_mem_pattern", "1") != "0",
            gpu=gpu,
        )

    def run(self, names: list[str], inputs: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Return the named outputs."""
        outputs: list[NDArray[np.generic]] = self._session.run(names, inputs)
        return outputs
