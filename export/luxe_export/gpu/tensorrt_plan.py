"""fp16 ONNX ─► TensorRT plan. Needs NVIDIA's `tensorrt` package, version 10 or later, and a GPU.

The network is strongly typed: TensorRT computes in the types that the graph says, so what `luxe_export.gpu.fp16` kept
in fp32 stays there. A plan runs on the kind of GPU and the TensorRT release that built it, and on no other.

Written from NVIDIA's documentation of the Python API and not run yet: see docs/gpu.md.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from luxe.errors import UserError
from luxe_export.gpu.profiles import Profile

__all__ = ["IMAGE", "build", "check"]

IMAGE = "nvcr.io/nvidia/tritonserver:24.10-py3"
"""As the Dockerfile's TRITON_IMAGE: a plan must be built by the TensorRT release that serves it."""

_PACKAGE = "tensorrt-cu12>=10,<11"
# In the image, the release that its server has.
_DOCKER = (
    f'docker run --rm --gpus all -v "$PWD":/luxe -w /luxe {IMAGE} sh -c "pip install -c constraints.txt .[export] '
    "tensorrt-cu12==\\$(dpkg-query -Wf '\\${Version}' libnvinfer10 | cut -d. -f1-3) && "
    'luxe export NAME --target tensorrt"'
)
_OLDEST = 10
"""Major version; the first with int64 inputs, which tokens are (server#7307)."""


def check() -> None:
    """Return if TensorRT is here.

    Raises:
        UserError: it is not, or it is too old; says what to install, and how to do without.
    """
    _tensorrt()


def build(onnx_fp16: Path, target: Path, profiles: Sequence[Profile], timing_cache: Path) -> None:
    """Build a plan.

    Args:
        onnx_fp16: what `luxe_export.gpu.fp16.convert` made of the graph as exported, before any fusion: TensorRT fuses
            by itself, and knows none of ONNX Runtime's own ops.
        target: plan file that is written.
        profiles: shapes ``(batch, length)`` that every input takes; the engine's config names as many.
        timing_cache: kernel timings, read when there and written back; makes the next build faster, and two builds
            with the same timings choose the same kernels.

    Raises:
        UserError: no TensorRT, or no GPU that it can use.
        ValueError: TensorRT cannot read the graph, or builds no engine from it.
    """
    trt = _tensorrt()
    _check_ops(onnx_fp16)
    logger = trt.Logger(trt.Logger.ERROR)
    try:
        builder = trt.Builder(logger)
    except (TypeError, RuntimeError) as error:  # its bindings return no builder where CUDA does not start
        raise UserError(f"TensorRT finds no GPU to build for ({_line(error)}); `nvidia-smi` lists them") from None
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(onnx_fp16)):
        errors = [_line(parser.get_error(i)) for i in range(parser.num_errors)]
        raise ValueError(f"TensorRT cannot read {onnx_fp16.name}: {'; '.join(errors) or 'no reason given'}")
    config = builder.create_builder_config()
    _add_profiles(builder, network, config, profiles)
    cache = config.create_timing_cache(timing_cache.read_bytes() if timing_cache.is_file() else b"")
    # One of another GPU or release is refused; then the build only takes longer.
    if cache is None or not config.set_timing_cache(cache, ignore_mismatch=False):
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, ignore_mismatch=False)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise ValueError(f"TensorRT builds no engine from {onnx_fp16.name}; its log says why")
    target.write_bytes(bytes(plan))
    _replace(timing_cache, bytes(cache.serialize()))


def _tensorrt() -> Any:
    """Return the module; `importlib`, so that a type checker needs none of it."""
    try:
        trt = importlib.import_module("tensorrt")
    except (ImportError, OSError) as error:  # OSError: there, but without its libraries
        raise UserError(
            f"--target tensorrt needs TensorRT {_OLDEST} or later and an NVIDIA GPU ({_line(error)}): "
            f"pip install '{_PACKAGE}', or run the same command inside NVIDIA's image: {_DOCKER}"
        ) from None
    if int(str(trt.__version__).split(".")[0]) < _OLDEST:
        raise UserError(f"TensorRT {trt.__version__} is too old: --target tensorrt needs {_OLDEST} or later")
    return trt


def _check_ops(path: Path) -> None:
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    own = sorted({node.op_type for node in model.graph.node if node.domain not in ("", "ai.onnx")})
    if own:
        raise ValueError(f"TensorRT knows no {', '.join(own)}: build from the graph before ONNX Runtime's fusions")


def _add_profiles(builder: Any, network: Any, config: Any, profiles: Sequence[Profile]) -> None:
    names = [network.get_input(i).name for i in range(network.num_inputs)]
    for wanted in profiles:
        profile = builder.create_optimization_profile()
        for name in names:
            profile.set_shape(name, wanted.smallest, wanted.tuned, wanted.largest)
        if config.add_optimization_profile(profile) < 0:
            raise ValueError(f"TensorRT refuses the profile {wanted}")


def _replace(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a second export, never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_bytes(content)
    scratch.replace(path)


def _line(error: object) -> str:
    desc = getattr(error, "desc", None)  # nvonnxparser's errors are objects with methods
    return " ".join(str(desc() if callable(desc) else error).split())
