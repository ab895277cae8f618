"""PyTorch ─► ONNX ─► candidates: the same model at several precisions."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from luxe_export import per_token
from luxe_export.source import Source

__all__ = ["CANDIDATES", "build", "input_names", "to_onnx"]

# NVIDIA's Triton 24.10 image carries ONNX Runtime 1.19.2, which reads up to IR 10 and opset 21
# (onnxruntime docs, "ONNX Runtime compatibility").
MAX_IR_VERSION, MAX_OPSET = 10, 21
_OPSET = 18


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


def fp32(raw: Path, target: Path, config: Any) -> None:
    """The graph with attention, layer norm and GELU fused."""
    _optimize(raw, target, config)


def int8_dynamic(raw: Path, target: Path, config: Any) -> None:
    """int8 weights; activations are quantised on the fly, with one scale for a whole batch."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    fused = target.with_name("fp32.onnx")
    if not fused.exists():
        fp32(raw, fused, config)
    with quiet():
        quantize_dynamic(
            fused,
            target,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=not has_vnni(),
            extra_options={"MatMulConstBOnly": True, "DefaultTensorType": 1},  # 1: onnx.TensorProto.FLOAT
        )


def int8_per_token(raw: Path, target: Path, config: Any) -> None:
    """int8 weights; activations are quantised on the fly, with one scale a token. See `per_token`."""
    fused = target.with_suffix(".fused.onnx")
    # Attention as an op of its own leaves the projections around it as MatMul.
    _optimize(raw, fused, config, multi_head_attention=True)
    per_token.quantize(fused, target, weight_bits=8)


CANDIDATES: dict[str, Callable[[Path, Path, Any], None]] = {
    "fp32": fp32,
    "int8-dynamic": int8_dynamic,
    "int8-per-token": int8_per_token,
}


def build(name: str, raw: Path, folder: Path, config: Any) -> Path:
    """Build one candidate and return its file; ``config`` is the transformers config.

    Raises:
        ValueError: the target server's ONNX Runtime cannot read what came out.
    """
    import onnx

    target = folder / f"{name}.onnx"
    CANDIDATES[name](raw, target, config)
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


def _optimize(raw: Path, target: Path, config: Any, *, multi_head_attention: bool = False) -> None:
    from onnxruntime.transformers import optimizer
    from onnxruntime.transformers.fusion_options import FusionOptions

    kind = config.model_type if config.model_type in optimizer.MODEL_TYPES else "bert"
    fusions = FusionOptions(kind)
    fusions.use_multi_head_attention = multi_head_attention
    with quiet():
        optimizer.optimize_model(
            str(raw),
            model_type=kind,
            num_heads=config.num_attention_heads,
            hidden_size=config.hidden_size,
            optimization_options=fusions,
            opt_level=0,
        ).save_model_to_file(str(target))


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
