"""Faults of an exported classifier, each done to its ONNX graph."""

import numpy as np
import onnx
from onnx import helper, numpy_helper

__all__ = [
    *("batch_mixed", "broken", "head_halved", "labels_swapped", "mask_ignored", "matrix_doubled", "not_a_number"),
    *("scale_doubled", "three_bits"),
]


def _value(graph, name):
    return next(i for i in graph.initializer if i.name == name)


def _set_value(graph, name, array):
    _value(graph, name).CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), name))


def _matrices(graph):
    """The names of the matrices that activations are multiplied by, in order: six a layer, then the pooler's."""
    constants = {i.name for i in graph.initializer}
    return [n.input[1] for n in graph.node if n.op_type in ("MatMul", "Gemm") and n.input[1] in constants]


def _change(graph, name, function):
    _set_value(graph, name, function(numpy_helper.to_array(_value(graph, name))).astype(np.float32))


def broken(path, fault, target):
    """Write the model at ``path`` to ``target`` with a fault."""
    model = onnx.load(str(path))
    fault(model.graph)
    onnx.checker.check_model(model)
    onnx.save(model, str(target))
    return target


def three_bits(graph):
    for name in _matrices(graph)[:6]:
        _change(graph, name, lambda w: np.round(w / np.abs(w).max() * 3) * np.abs(w).max() / 3)


def labels_swapped(graph):
    for name in ("classifier.weight", "classifier.bias"):
        _change(graph, name, lambda w: w[[1, 0, 2, 3]])


def head_halved(graph):
    for name in ("classifier.weight", "classifier.bias"):
        _change(graph, name, lambda w: w / 2)


def matrix_doubled(graph):
    _change(graph, _matrices(graph)[8], lambda w: 2 * w)


def scale_doubled(graph):
    """Of a matrix in int8."""
    scales = [i.name for i in graph.initializer if i.name.endswith("/int8_scale")]
    _change(graph, scales[8], lambda w: 2 * w)


def batch_mixed(graph):
    """Logits move a fifth of the way to the batch's mean; alone, a text is its own mean."""
    node = next(n for n in graph.node if "logits" in n.output)
    node.output[0] = "own"
    graph.initializer.append(numpy_helper.from_array(np.array([0]), "axis"))
    graph.initializer.append(numpy_helper.from_array(np.float32(0.2), "share"))
    graph.initializer.append(numpy_helper.from_array(np.float32(0.8), "rest"))
    graph.node.extend(
        [
            helper.make_node("ReduceMean", ["own", "axis"], ["mean"], keepdims=1),
            helper.make_node("Mul", ["mean", "share"], ["others"]),
            helper.make_node("Mul", ["own", "rest"], ["kept"]),
            helper.make_node("Add", ["kept", "others"], ["logits"]),
        ]
    )


def mask_ignored(graph):
    """Padding is attended to; alone, a text has none."""
    for node in graph.node:
        for i, name in enumerate(node.input):
            if name == "attention_mask":
                node.input[i] = "everything"
    graph.initializer.append(numpy_helper.from_array(np.int64(1), "one"))
    graph.node.insert(0, helper.make_node("Max", ["attention_mask", "one"], ["everything"]))


def not_a_number(graph):
    _change(graph, "classifier.bias", lambda w: w * np.nan)
