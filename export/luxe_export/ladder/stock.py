"""Quantisation as ONNX Runtime's own tools do it: what luxe's candidates are measured against."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from luxe_export.graph import quiet
from luxe_export.ladder._workshop import Workshop

__all__ = ["dynamic", "int4_weights", "qdq"]

_FLOAT = 1  # onnx.TensorProto.FLOAT: fused graphs lack the type information that the tools look for


def dynamic(workshop: Workshop, target: Path) -> None:
    """int8 weights; activations are quantised on the fly, with one scale for a whole batch."""
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.registry import IntegerOpsRegistry

    with quiet():
        quantize_dynamic(
            workshop.fused,
            target,
            # DeBERTa-v2 has a convolution, and ONNX Runtime 1.19 no ConvInteger with int8 weights.
            op_types_to_quantize=[op for op in IntegerOpsRegistry if op != "Conv"],
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=workshop.cpu == "avx2",
            extra_options={"MatMulConstBOnly": True, "DefaultTensorType": _FLOAT},
        )


def qdq(per_channel: bool) -> Callable[[Workshop, Path], None]:
    """Static int8 with QuantizeLinear and DequantizeLinear around every MatMul, ranges by min-max."""

    def make(workshop: Workshop, target: Path) -> None:
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

        assert workshop.batches is not None
        texts = iter(workshop.batches())

        class Reader(CalibrationDataReader):  # type: ignore[misc]  # no types there
            def get_next(self) -> Any:
                return next(texts, None)

            def __iter__(self) -> Iterator[Any]:
                return texts

        with quiet():
            quantize_static(
                workshop.open,
                target,
                Reader(),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["MatMul"],
                per_channel=per_channel,
                reduce_range=workshop.cpu == "avx2",
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                extra_options={
                    "MatMulConstBOnly": True,
                    "DefaultTensorType": _FLOAT,
                    "OpTypesToExcludeOutputQuantization": ["MatMul"],
                },
            )

    return make


def int4_weights(workshop: Workshop, target: Path) -> None:
    """MatMulNBits: 4-bit weights in blocks of 32 with a scale each, multiplied in int8 (accuracy level 4)."""
    import onnx
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    with quiet():
        quantizer = MatMulNBitsQuantizer(
            onnx.load(str(workshop.small)), block_size=32, is_symmetric=True, accuracy_level=4
        )
        quantizer.process()
        quantizer.model.save_model_to_file(str(target))
