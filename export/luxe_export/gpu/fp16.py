"""fp32 ─► fp16 for GPUs: matrix products in half precision, everything that sums or exponentiates in fp32.

What stays in fp32, and why:

- LayerNormalization in all its fused forms, with the sum that feeds it. A row's squares soon pass 65,504, the largest
  fp16 (TensorRT#2564). ONNX Runtime's CUDA kernels for SkipLayerNormalization and EmbedLayerNormalization added up
  in the type of their input until 2026 (onnxruntime#28682), and the target server's is older.
- Softmax. Inside a fused Attention it is no op of its own: see `fuse`.
- The head, that is, all that no normalisation follows: pooling, classifier, normalised embeddings. It costs nothing,
  and the output is not rounded to 11 bits.
- Reductions, powers and roots.

Inputs stay int64 and the output float32, so the same tokens go in and the gate compares the same thing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from luxe_export.graph import quiet

__all__ = ["convert", "fuse"]

_NORMALIZATIONS = ("LayerNormalization", "SkipLayerNormalization", "EmbedLayerNormalization")
_KEPT = (
    *_NORMALIZATIONS,
    *("Softmax", "LogSoftmax", "Pow", "Sqrt", "Reciprocal", "LpNormalization"),
    *("ReduceMean", "ReduceSum", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp", "CumSum"),
)

_LARGEST = 65504.0
_MASKED = 30000.0
"""What a constant beyond fp16 becomes. A mask of -3.4e38 turned into -65,504 is -inf as soon as a score is added to
it, and a row of nothing but -inf is NaN after softmax; from -30,000 there is room for any score."""


def convert(source: Path, target: Path) -> None:
    """Write the fp16 form of an ONNX transformer, fused by onnxruntime.transformers or not.

    Args:
        source: fp32 graph; int64 inputs, float32 outputs, which the result has too.
        target: file that is written.

    Raises:
        ValueError: the graph has no weights in fp32 that a matrix product reads, so there is nothing to convert.
    """
    import onnx
    from onnxruntime.transformers.onnx_model import OnnxModel

    model = onnx.load(str(source))
    _name_nodes(model.graph)
    kept = _kept(model.graph)
    _bound_constants(model.graph, kept)
    wrapped = OnnxModel(model)
    with quiet():  # what it warns of, the gate measures
        wrapped.convert_float_to_float16(keep_io_types=True, op_block_list=[], node_block_list=sorted(kept))
    _unite(wrapped.model.graph)
    wrapped.topological_sort(is_deterministic=True)
    if not any(i.data_type == onnx.TensorProto.FLOAT16 for i in wrapped.model.graph.initializer):
        raise ValueError("no weight became fp16: the graph has no fp32 matrix product before its head")
    onnx.save(wrapped.model, str(target))


def fuse(source: Path, target: Path, config: Any) -> None:
    """Fuse an exported fp32 graph for CUDA, so that attention keeps its softmax in fp32 when `convert` comes after.

    The kernel that ONNX Runtime's CUDA provider picks for a fused Attention depends on the mask. With lengths (1-D), or
    none, it may take kernels from TensorRT or flash attention, whose sums follow the release and the GPU; TensorRT's
    causal ones are known to lose accuracy by adding in fp16 (onnxruntime#14732). With a raw 2-D mask it takes the one
    that reads the scores into float, and exponentiates, sums and divides there (onnxruntime:
    contrib_ops/cuda/bert/attention.cc and attention_softmax.cu). A raw mask is also right for any padding, lengths
    only for padding at the end (onnxruntime#18945). Embeddings stay unfused so that their tables, the largest part of a
    small model, become fp16.

    Args:
        source: fp32 graph as exported.
        target: file that is written.
        config: transformers config of the model.
    """
    from onnxruntime.transformers import optimizer
    from onnxruntime.transformers.fusion_options import FusionOptions

    kind = config.model_type if config.model_type in optimizer.MODEL_TYPES else "bert"
    options = FusionOptions(kind)
    options.use_raw_attention_mask(True)
    options.enable_embed_layer_norm = False
    with quiet():
        optimizer.optimize_model(
            str(source),
            model_type=kind,
            num_heads=config.num_attention_heads,
            hidden_size=config.hidden_size,
            optimization_options=options,
            opt_level=0,
        ).save_model_to_file(str(target))


def _name_nodes(graph: Any) -> None:
    """Give every node a name of its own; the converter goes by names, and fusions leave some empty."""
    seen: set[str] = set()
    for index, node in enumerate(graph.node):
        if not node.name or node.name in seen:
            node.name = f"luxe_{node.op_type}_{index}"
        seen.add(node.name)


def _kept(graph: Any) -> set[str]:
    """Return the names of the nodes that stay in fp32."""
    producers = {output: node for node in graph.node for output in node.output}
    normalizations = [node for node in graph.node if node.op_type in _NORMALIZATIONS]
    kept = {node.name for node in graph.node if node.op_type in _KEPT}
    feeding = (producers.get(node.input[0]) for node in normalizations)
    kept |= {node.name for node in feeding if node is not None and node.op_type == "Add"}
    if normalizations:
        before = _ancestors(normalizations, producers)
        kept |= {node.name for node in graph.node if node.name not in before}
    return kept - {node.name for node in graph.node if node.op_type in ("Shape", "Size")}


def _ancestors(nodes: Iterable[Any], producers: dict[str, Any]) -> set[str]:
    """Return the names of all nodes that `nodes` depend on."""
    found: set[str] = set()
    queue = deque(nodes)
    while queue:
        for name in queue.popleft().input:
            producer = producers.get(name)
            if producer is not None and producer.name not in found:
                found.add(producer.name)
                queue.append(producer)
    return found


def _unite(graph: Any) -> None:
    """Drop repeated casts: the converter makes the same one, by the same name, for every kept node that reads."""
    seen: set[str] = set()
    for node in list(graph.node):
        if node.output[0] in seen:
            graph.node.remove(node)
        seen.add(node.output[0])


def _bound_constants(graph: Any, kept: set[str]) -> None:
    """Bring constants that fp16 nodes read, and that are beyond fp16, to ±`_MASKED`."""
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    for tensor in graph.initializer:
        if any(node.name not in kept for node in readers.get(tensor.name, [])):
            _bound(tensor)
    for node in graph.node:
        if node.op_type not in ("Constant", "ConstantOfShape"):
            continue
        if all(reader.name in kept for reader in readers.get(node.output[0], [])):
            continue
        for attribute in node.attribute:
            if attribute.name == "value":
                _bound(attribute.t)
            elif attribute.name == "value_float" and not abs(attribute.f) <= _LARGEST:
                attribute.f = float(np.copysign(_MASKED, attribute.f))


def _bound(tensor: Any) -> None:
    from onnx import TensorProto, numpy_helper

    if tensor.data_type != TensorProto.FLOAT:
        return
    values = numpy_helper.to_array(tensor)
    beyond = np.abs(values) > _LARGEST  # not NaN: that stays for the gate to find
    if beyond.any():
        bounded = np.where(beyond, np.copysign(np.float32(_MASKED), values), values)
        tensor.CopyFrom(numpy_helper.from_array(bounded, tensor.name))
