"""Rewriting an ONNX graph: new nodes in order, constants once, and what nobody reads any more left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Editing"]

_MICROSOFT = "com.microsoft"
_OPSET = 18  # reductions take their axes as an input


class Editing:
    """A graph that is being rewritten, node by node: `keep` old ones, `add` new ones, then `save`."""

    def __init__(self, source: Path | Any) -> None:
        """Take a file, or a ModelProto that nobody else keeps."""
        import onnx

        self.model = onnx.load(str(source)) if isinstance(source, Path) else source
        self.constants: dict[str, Any] = {i.name: i for i in self.model.graph.initializer}
        self.nodes: list[Any] = list(self.model.graph.node)
        """As read; what is kept or added makes the new graph."""
        self._new: list[Any] = []

    def consumers(self, name: str) -> list[Any]:
        """Return the nodes that read a tensor, also within a branch of theirs."""
        return [node for node in self.nodes if name in _read(node)]

    def array(self, name: str) -> NDArray[Any]:
        """Return a constant's value."""
        from onnx import numpy_helper

        value: NDArray[Any] = numpy_helper.to_array(self.constants[name])
        return value

    def constant(self, name: str, value: Any) -> str:
        """Make a constant and return its name; the same name and value are made once.

        Raises:
            ValueError: the name belongs to another value.
        """
        from onnx import numpy_helper

        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.asarray(value), name)
        elif not np.array_equal(self.array(name), value):
            raise ValueError(f"the graph has another constant of the name {name}")
        return name

    def keep(self, node: Any) -> None:
        self._new.append(node)

    def add(self, op: str, inputs: list[str], output: str, *, contrib: bool = False, **attributes: Any) -> str:
        """Append a node and return its output; ``contrib`` operators are ONNX Runtime's own."""
        from onnx import helper

        domain = _MICROSOFT if contrib else ""
        self._new.append(helper.make_node(op, inputs, [output], name=f"{output}/{op}", domain=domain, **attributes))
        return output

    def save(self, target: Path) -> None:
        import onnx
        from onnx import helper

        graph = self.model.graph
        used = {name for node in self._new for name in _read(node)} | {value.name for value in graph.output}
        del graph.node[:], graph.initializer[:]
        graph.node.extend(self._new)
        graph.initializer.extend(value for name, value in self.constants.items() if name in used)
        domains = {opset.domain: opset for opset in self.model.opset_import}
        domains[""].version = max(domains[""].version, _OPSET)
        if _MICROSOFT not in domains:
            self.model.opset_import.append(helper.make_opsetid(_MICROSOFT, 1))
        onnx.save(self.model, str(target))


def _read(node: Any) -> set[str]:
    """Return what a node reads, with what the graphs within it read (the branches of If)."""
    names = set(node.input)
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            names |= {value.name for value in graph.output}.union(*map(_read, graph.node))
    return names
