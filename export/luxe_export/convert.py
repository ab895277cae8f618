"""PyTorch ─► ONNX ─► candidates: the same model at several precisions."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luxe_export.source import Source

__all__ = ["CANDIDATES", "Calibration", "build", "input_names", "to_onnx"]

# NVIDIA's Triton 24.10 image carries ONNX Runtime 1.19.2, which reads up to IR 10 and opset 21
# (onnxruntime docs, "ONNX Runtime compatibility").
MAX_IR_VERSION, MAX_OPSET = 10, 21
_OPSET = 18

Calibration = Sequence[Mapping[str, list[int]]]
"""Tokenised texts, as the tokenizer gives them."""


def to_onnx(source: Source, folder: Path, *, task: str) -> Path:
    """Export with optimum and return the fp32 graph; ``folder`` receives scratch files."""
    from optimum.exporters.onnx import main_export

    checkpoint, exported = folder / "checkpoint", folder / "onnx"
    source.model.save_pretrained(checkpoint)
    source.tokenizer.save_pretrained(checkpoint)
    with quiet():
        # Its validation only warns; ours, on the test set, refuses.
        main_export(str(checkpoint), exported, task=task, opset=_OPSET, do_validation=False)
    return exported / "model.onnx"


def fp32(raw: Path, target: Path, source: Source, calibration: Calibration) -> None:
    """The graph with attention, layer norm and GELU fused."""
    from onnxruntime.transformers import optimizer

    config = source.model.config
    with quiet():
        optimizer.optimize_model(
            str(raw),
            model_type=config.model_type if config.model_type in optimizer.MODEL_TYPES else "bert",
            num_heads=config.num_attention_heads,
            hidden_size=config.hidden_size,
            opt_level=0,
        ).save_model_to_file(str(target))


def int8_dynamic(raw: Path, target: Path, source: Source, calibration: Calibration) -> None:
    """int8 weights; activations are quantised on the fly, with one scale for a whole batch."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    fused = target.with_suffix(".fused.onnx")
    fp32(raw, fused, source, calibration)
    with quiet():
        quantize_dynamic(
            fused,
            target,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=not has_vnni(),
            extra_options={"MatMulConstBOnly": True, "DefaultTensorType": 1},  # 1: onnx.TensorProto.FLOAT
        )


def int8_static(raw: Path, target: Path, source: Source, calibration: Calibration) -> None:
    """int8 weights and activations, with scales from calibration texts: no answer depends on its batch.

    Only MatMul is quantised, and its outputs stay in float; the pooler and the head stay in float.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    with quiet():
        quantize_static(
            raw,
            target,
            _Reader(calibration),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["MatMul"],
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=not has_vnni(),
            extra_options={"MatMulConstBOnly": True, "OpTypesToExcludeOutputQuantization": ["MatMul"]},
        )


CANDIDATES: dict[str, Callable[[Path, Path, Source, Calibration], None]] = {
    "fp32": fp32,
    "int8-dynamic": int8_dynamic,
    "int8-static": int8_static,
}


def build(name: str, raw: Path, folder: Path, source: Source, calibration: Calibration) -> Path:
    """Build one candidate and return its file.

    Raises:
        ValueError: the target server's ONNX Runtime cannot read what came out.
    """
    import onnx

    target = folder / f"{name}.onnx"
    CANDIDATES[name](raw, target, source, calibration)
    model = onnx.load(str(target))
    opset = max(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    if model.ir_version > MAX_IR_VERSION or opset > MAX_OPSET:
        raise ValueError(
            f"IR {model.ir_version}, opset {opset}; the server reads up to IR {MAX_IR_VERSION}, opset {MAX_OPSET}"
        )
    return target


def input_names(path: Path) -> list[str]:
    """Return the graph's inputs, in its own order."""
    import onnx

    return [value.name for value in onnx.load(str(path), load_external_data=False).graph.input]


def has_vnni() -> bool:
    """Return whether this CPU multiplies int8 without saturating; without, weights keep to 7 bits."""
    with contextlib.suppress(OSError):
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        return any(flag in flags for flag in ("avx512_vnni", "avx_vnni", "asimddp"))
    return False


class _Reader:
    """Calibration data for ONNX Runtime, one text at a time, so that no padding enters the ranges."""

    def __init__(self, calibration: Calibration) -> None:
        self._rows = iter(calibration)

    def get_next(self) -> dict[str, NDArray[np.int64]] | None:
        row = next(self._rows, None)
        return None if row is None else {name: np.array([ids], dtype=np.int64) for name, ids in row.items()}

    def set_range(self, start_index: int, end_index: int) -> Any:
        raise NotImplementedError("calibration is streamed")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence the tools' notes: everything they warn of is measured by the gate."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)
