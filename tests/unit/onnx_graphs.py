"""Small ONNX graphs written by hand, and how to ask a graph and look into it."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from luxe_serving.onnx_engine import session

__all__ = ["answer", "constants", "matrices", "node", "operators", "write"]


def node(op, inputs, output, **attributes):
    """A node; operators that ONNX does not know are ONNX Runtime's own."""
    outputs = [output] if isinstance(output, str) else output
    domain = "" if onnx.defs.has(op) and op != "Gelu" else "com.microsoft"  # ONNX's Gelu is younger than opset 18
    return helper.make_node(op, list(inputs), outputs, name=outputs[0], domain=domain, **attributes)


def write(path, nodes, weights, *, inputs=(("x", TensorProto.FLOAT),), outputs=("y",), opset=18, ir_version=10):
    """Write a graph; ``weights`` by name."""
    made = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info(name, kind, None) for name, kind in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(made, opset_imports=opsets, ir_version=ir_version), str(path))
    return path


def answer(path, **feed):
    """The graph's outputs, by name."""
    engine = session(path)
    names = [value.name for value in engine.get_outputs()]
    return dict(zip(names, engine.run(names, feed), strict=True))


def operators(path):
    return [n.op_type for n in onnx.load(str(path)).graph.node]


def constants(path):
    """The graph's constants, by name."""
    return {i.name: numpy_helper.to_array(i) for i in onnx.load(str(path)).graph.initializer}


def matrices(path):
    """``(input, matrix)`` of each float product with a constant matrix."""
    found = {name for name, value in constants(path).items() if value.ndim == 2}
    nodes = onnx.load(str(path)).graph.node
    return [tuple(n.input) for n in nodes if n.op_type == "MatMul" and n.input[1] in found]
