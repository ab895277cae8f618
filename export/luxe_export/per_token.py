"""int8 with one activation scale a token: fast, and no answer depends on its neighbours.

ONNX Runtime's dynamic quantisation takes one scale for a whole tensor, so a loud token in one text coarsens every
other text of the batch. Here each row (token) of an activation gets its own symmetric scale, inside the graph:

    s = max|x| / 127 over the row        q = round(x / s) + 128, as uint8
    y = MatMulInteger(q, W8) * s * w     W8 = round(W / w), w = max|W| / 127 over the output channel

A row's result depends on that row alone, so batching and padding change nothing. It is also more exact than one
scale a tensor (the scheme of LLM.int8, Dettmers et al. 2022, without its outlier columns).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["quantize"]

_OPSET = 18  # ReduceMax takes its axes as an input


def quantize(source: Path, target: Path, *, weight_bits: int) -> None:
    """Write ``source`` to ``target`` with every MatMul by a constant matrix in int8.

    Args:
        weight_bits: 8; or 7 for CPUs without VNNI, whose int8 dot product saturates in pairs
            (ONNX Runtime docs, "Quantize ONNX models", reduce_range).
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(str(source))
    graph = model.graph
    weights = {i.name: i for i in graph.initializer}
    nodes: list[onnx.NodeProto] = []
    constants: dict[str, onnx.TensorProto] = {}
    quantized: dict[str, tuple[str, str]] = {}

    def constant(name: str, value: NDArray[np.generic] | np.generic) -> str:
        constants[name] = numpy_helper.from_array(np.asarray(value), name)
        return name

    def add(op: str, inputs: list[str], output: str, **attributes: int) -> str:
        nodes.append(helper.make_node(op, inputs, [output], name=f"{output}/{op}", **attributes))
        return output

    axis, tiny = constant("q/axis", np.array([-1])), constant("q/tiny", np.float32(1e-10))
    one, per_level = constant("q/one", np.float32(1)), constant("q/per_level", np.float32(1 / 127))
    middle, zero = constant("q/middle", np.uint8(128)), constant("q/zero", np.int8(0))

    def rows(x: str) -> tuple[str, str]:
        """Quantise an activation once, however many matrices it meets."""
        if x not in quantized:
            largest = add("ReduceMax", [add("Abs", [x], f"{x}/abs"), axis], f"{x}/max", keepdims=1)
            scale = add("Mul", [add("Max", [largest, tiny], f"{x}/floor"), per_level], f"{x}/scale")
            levels = add("QuantizeLinear", [add("Div", [x, scale], f"{x}/unit"), one, middle], f"{x}/uint8")
            quantized[x] = levels, scale
        return quantized[x]

    for node in graph.node:
        if node.op_type != "MatMul" or node.input[1] not in weights:
            nodes.append(node)
            continue
        x, name, y = node.input[0], node.input[1], node.output[0]
        matrix, channel_scale = _int8(numpy_helper.to_array(weights[name]), weight_bits)
        levels, scale = rows(x)
        inputs = [levels, constant(f"{name}/int8", matrix), middle, zero]
        integer = add("MatMulInteger", inputs, f"{y}/int32")
        real = add("Cast", [integer], f"{y}/float", to=TensorProto.FLOAT)
        add("Mul", [add("Mul", [real, scale], f"{y}/rows"), constant(f"{name}/scale", channel_scale)], y)

    used = {name for node in nodes for name in node.input}
    kept = [i for i in graph.initializer if i.name in used]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend([*kept, *constants.values()])
    for opset in model.opset_import:
        if opset.domain == "":
            opset.version = max(opset.version, _OPSET)
    onnx.save(model, str(target))


def _int8(matrix: NDArray[np.float32], bits: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return ``(W8 [K, N], w [N])``."""
    levels = 2 ** (bits - 1) - 1
    scale = np.maximum(np.abs(matrix).max(axis=0), 1e-10) / levels
    return np.clip(np.round(matrix / scale), -levels, levels).astype(np.int8), scale.astype(np.float32)
