"""Embedding tables in int8, one scale a row: half of a small model's file, and no answer depends on its neighbours."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from luxe_export.ladder.editing import Editing

__all__ = ["shrink"]

_SMALLEST = 2**16
"""Values; a smaller table is not worth two more operators."""


def shrink(source: Path, target: Path) -> None:
    """Store every large table that is looked up by Gather as int8 [V, D] and float [V, 1]."""
    from onnx import TensorProto

    graph = Editing(source)
    for node in graph.nodes:
        name = node.input[0] if node.op_type == "Gather" else ""
        if name not in graph.constants or any(a.name == "axis" and a.i for a in node.attribute):
            graph.keep(node)
            continue
        table = graph.array(name)
        if table.ndim != 2 or table.size < _SMALLEST or table.dtype != np.float32:
            graph.keep(node)
            continue
        scale = np.maximum(np.abs(table).max(axis=1, keepdims=True), 1e-10).astype(np.float32) / np.float32(127)
        ids, y = node.input[1], node.output[0]
        levels = graph.constant(f"{name}/int8", np.round(table / scale).astype(np.int8))
        rows = graph.add("Gather", [levels, ids], f"{y}/int8", axis=0)
        scales = graph.add("Gather", [graph.constant(f"{name}/scale", scale), ids], f"{y}/scale", axis=0)
        graph.add("Mul", [graph.add("Cast", [rows], f"{y}/float", to=TensorProto.FLOAT), scales], y)
    graph.save(target)
