"""An ONNX file as Triton's native onnxruntime backend would run it, by the same parameter names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["OnnxEngine", "session"]


def session(path: Path, *, intra_op_threads: int = 1, inter_op_threads: int = 1, mem_pattern: bool = False) -> Any:
    """Open an ONNX Runtime session on the CPU as it is served: the gate measures the same one."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = intra_op_threads
    options.inter_op_num_threads = inter_op_threads
    # A spinning thread burns a core that the next instance needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_mem_pattern = mem_pattern
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class OnnxEngine:
    """One instance of a model.

    Args:
        path: the ONNX file.
        parameters: the ``parameters`` of the model's config, with the names of the native backend.
    """

    def __init__(self, path: Path, parameters: Mapping[str, str]) -> None:
        self._session = session(
            path,
            intra_op_threads=int(parameters.get("intra_op_thread_count", "0")),
            inter_op_threads=int(parameters.get("inter_op_thread_count", "1")),
            mem_pattern=parameters.get("enable_mem_pattern", "1") != "0",
        )

    def run(self, names: list[str], inputs: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Return the named outputs."""
        outputs: list[NDArray[np.generic]] = self._session.run(names, inputs)
        return outputs
