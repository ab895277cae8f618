"""PyTorch ─► ONNX: the graph that every candidate is made from, with one output."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from luxe_export.checkpoint.source import Source

__all__ = ["OPSET", "input_names", "pool", "quiet", "to_onnx", "trace"]

OPSET = 18
# Optimum's names. The tasks that classify a pair of texts differ in what is done with the logits, not in the graph.
_OPTIMUM_TASKS = {
    "text-classification": "text-classification",
    "token-classification": "token-classification",
    "feature-extraction": "feature-extraction",
    "zero-shot-classification": "text-classification",
    "text-ranking": "text-classification",
}
_HIDDEN = "last_hidden_state"
# What torch.nn.functional.normalize and sentence-transformers' mean pooling divide by at least.
_SMALLEST_NORM, _SMALLEST_COUNT = 1e-12, 1e-9


def to_onnx(source: Source, folder: Path) -> Path:
    """Export with optimum and return the fp32 graph; ``folder`` receives scratch files.

    Its inputs are int64 [N, T]; its one output is ``logits`` FP32, [N, L] or for token-classification [N, T, L], or for
    feature-extraction ``embeddings`` FP32 [N, D], pooled and, if the catalogue says so, of length 1.
    The same model gives the same bytes.
    """
    entry = source.entry
    path = trace(source.model, entry.task, folder)
    if entry.task == "feature-extraction":
        pool(path, path, pooling=entry.pooling, normalize=entry.normalize)
    return path


def trace(model: Any, task: str, folder: Path) -> Path:
    """Export a transformers model as optimum does; an encoder's output is ``last_hidden_state`` FP32 [N, T, D]."""
    from optimum.exporters.onnx import onnx_export_from_model

    with quiet():
        # Its validation only warns; ours, on the test set, refuses.
        onnx_export_from_model(model, folder / "onnx", task=_OPTIMUM_TASKS[task], opset=OPSET, do_validation=False)
    return folder / "onnx" / "model.onnx"


def pool(path: Path, target: Path, *, pooling: str, normalize: bool) -> None:
    """Make the graph's ``last_hidden_state`` [N, T, D] one ``embeddings`` [N, D] a text, in plain ONNX operators.

    "mean" is over the tokens whose ``attention_mask`` is 1, "cls" takes the first token, as sentence-transformers do.
    Works on fused graphs too.
    """
    import onnx
    from onnx import TensorProto, helper

    model = onnx.load(str(path))
    graph = model.graph
    hidden = next(value for value in graph.output if value.name == _HIDDEN)
    batch, _, width = hidden.type.tensor_type.shape.dim
    nodes, constants = _mean() if pooling == "mean" else _first()
    if normalize:
        constants += [_constant("smallest_norm", _SMALLEST_NORM), _constant("last_axis", [-1])]
        nodes += [
            # ReduceL2 would stop the shape inference that onnxruntime's fusions rest on.
            helper.make_node("Mul", ["pool/pooled", "pool/pooled"], ["pool/squares"]),
            helper.make_node("ReduceSum", ["pool/squares", "pool/last_axis"], ["pool/squared_norm"], keepdims=1),
            helper.make_node("Sqrt", ["pool/squared_norm"], ["pool/norm"]),
            helper.make_node("Max", ["pool/norm", "pool/smallest_norm"], ["pool/safe_norm"]),
            helper.make_node("Div", ["pool/pooled", "pool/safe_norm"], ["embeddings"]),
        ]
    else:
        nodes.append(helper.make_node("Identity", ["pool/pooled"], ["embeddings"]))
    for node in nodes:
        node.name = f"{node.output[0]}/{node.op_type}"
    graph.node.extend(nodes)
    graph.initializer.extend(constants)
    shape = [dim.dim_param or dim.dim_value or None for dim in (batch, width)]
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, shape))
    onnx.checker.check_model(model)
    onnx.save(model, str(target))


def input_names(path: Path) -> list[str]:
    """Return the graph's inputs, in its own order."""
    import onnx

    return [value.name for value in onnx.load(str(path), load_external_data=False).graph.input]


def _mean() -> tuple[list[Any], list[Any]]:
    from onnx import TensorProto, helper

    return [
        helper.make_node("Cast", ["attention_mask"], ["pool/mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["pool/mask", "pool/last_axis_of_mask"], ["pool/weights"]),
        helper.make_node("Mul", [_HIDDEN, "pool/weights"], ["pool/kept"]),
        helper.make_node("ReduceSum", ["pool/kept", "pool/tokens_axis"], ["pool/sum"], keepdims=0),
        helper.make_node("ReduceSum", ["pool/weights", "pool/tokens_axis"], ["pool/count"], keepdims=0),
        helper.make_node("Max", ["pool/count", "pool/smallest_count"], ["pool/safe_count"]),
        helper.make_node("Div", ["pool/sum", "pool/safe_count"], ["pool/pooled"]),
    ], [
        _constant("last_axis_of_mask", [2]),
        _constant("tokens_axis", [1]),
        _constant("smallest_count", _SMALLEST_COUNT),
    ]


def _first() -> tuple[list[Any], list[Any]]:
    from onnx import helper

    node = helper.make_node("Gather", [_HIDDEN, "pool/first"], ["pool/pooled"], axis=1)
    return [node], [_constant("first", 0)]


def _constant(name: str, value: Any) -> Any:
    import numpy as np
    from onnx import numpy_helper

    kind = np.float32 if isinstance(value, float) else np.int64
    return numpy_helper.from_array(np.asarray(value, dtype=kind), f"pool/{name}")


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
