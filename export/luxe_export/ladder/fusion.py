"""Operator fusion for the CPU: attention, layer norm and GELU as one operator each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from luxe_export.graph import quiet
from luxe_export.ladder.editing import Editing

__all__ = ["fuse"]


def fuse(raw: Path, target: Path, config: Any, *, for_int8: bool = False) -> None:
    """Fuse what ONNX Runtime's transformer optimizer knows.

    Args:
        config: the transformers config.
        for_int8: leave the projections around attention as MatMul and the embedding tables as Gather, so that they
            can be quantised.
    """
    from onnxruntime.transformers import optimizer
    from onnxruntime.transformers.fusion_options import FusionOptions

    kind = config.model_type if config.model_type in optimizer.MODEL_TYPES else "bert"
    fusions = FusionOptions(kind)
    fusions.use_multi_head_attention = for_int8
    if for_int8:
        fusions.enable_embed_layer_norm = False
    with quiet():
        fused = optimizer.optimize_model(
            str(raw),
            model_type=kind,
            num_heads=config.num_attention_heads,
            hidden_size=config.hidden_size,
            optimization_options=fusions,
            opt_level=0,
        )
        fused.topological_sort()
    _split_skip_layer_norm(fused.model, target)


def _split_skip_layer_norm(source: Path | Any, target: Path) -> None:
    """Take the residual's addition out of SkipLayerNormalization.

    ONNX Runtime 1.31's kernel for the fused operator costs 2.5 times what Sum and LayerNormalization cost apart
    (docs/quantization.md). Sum, because Add would be fused again when the session is made.
    """
    graph = Editing(source)
    for node in graph.nodes:
        outputs = [name for name in node.output if name]
        if node.op_type != "SkipLayerNormalization" or len(outputs) > 1:
            graph.keep(node)
            continue
        x, skip, gamma, *rest = node.input
        beta, bias = [*rest, "", ""][:2]
        total = graph.add("Sum", [name for name in (x, skip, bias) if name], f"{outputs[0]}/sum")
        scales = [gamma, beta] if beta else [gamma]
        epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-12)
        graph.add("LayerNormalization", [total, *scales], outputs[0], axis=-1, epsilon=epsilon)
    graph.save(target)
