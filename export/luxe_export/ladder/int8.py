"""int8 matrix products whose answers depend on nobody's neighbours.

ONNX Runtime's dynamic quantisation takes one scale for a whole tensor, so a loud token in one text coarsens every
other text of the batch. Here a scale is either known beforehand or taken from one token alone. With activation x, row
by row, and weights W ≈ W8 · w by output channel:

    static      q = clip(round(x / (c s)) + z)          y = (q - z) @ W8 · s · w + bias,      W8 · w ≈ c W
    per token   m = max|x| of the row, q = round(127 x / m) + 128
                                                        y = (q - 128) @ W8 · w/127 · m
    one-sided   u = x + o ≥ 0 (GELU's smallest value is -0.17), m = max u of the row, q = round(255 u / m)
                                                        y = q @ W8 · w/255 · m - o · Σ W8 w

`s`, `z` and `o` come from training texts, and so does `c`, which moves loud channels from the activations into the
weights (SmoothQuant, Xiao et al. 2023). MatMulIntegerToFloat is the integer product with scales and bias in one pass.

The schemes:

    per-token   per token everywhere; needs no training texts
    static      static everywhere: fastest
    mixed       static, but one-sided where the input is: what comes out of GELU or ReLU has rare, very loud tokens
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from luxe_export.ladder import ranges
from luxe_export.ladder.editing import Editing
from luxe_export.ladder.weights import Cpu, quantize_weights

__all__ = ["Scheme", "quantize", "sites"]

Scheme = Literal["per-token", "static", "mixed"]

_SMOOTHING = 0.75
"""SmoothQuant's alpha: the share of a channel's loudness that moves into the weights (docs/quantization.md)."""
_ONE_SIDED = 0.25
"""An input whose smallest value is nearer to zero than this share of its largest comes from GELU or ReLU."""
_TINY = 1e-10


@dataclasses.dataclass
class _Site:
    """Matrices that are multiplied with the same input, or an input's several uses of shared matrices."""

    inputs: list[str]
    weights: list[str]


@dataclasses.dataclass(frozen=True)
class _Static:
    scale: np.float32
    zero: np.uint8
    divisor: NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class _OneSided:
    offset: np.float32


_How = _Static | _OneSided | None  # None: per token


def sites(graph: Path) -> list[str]:
    """Return the inputs of the matrix products that can be quantised, in the graph's order."""
    editing = Editing(graph)
    return list(dict.fromkeys(node.input[0] for node in editing.nodes if _is_product(editing, node)))


def quantize(
    source: Path,
    target: Path,
    *,
    scheme: Scheme,
    cpu: Cpu,
    batches: ranges.Batches | None = None,
    clip: ranges.Clip = "minmax",
    keep: Collection[str] = (),
    seen: ranges.Channels | None = None,
) -> None:
    """Write ``source`` to ``target`` with its matrix products in int8.

    Args:
        source: fused by `fusion.fuse`; products are MatMul nodes with a constant matrix.
        cpu: decides how weights are rounded; see `weights.quantize_weights`.
        batches: training texts; "static" and "mixed" need them.
        clip: how the range of a static activation is chosen.
        keep: inputs of products that stay in float, as `sites` names them.
        seen: as of `ranges.channels`, so that several schemes ask the texts once.
    """
    graph = Editing(source)
    products = [n for n in graph.nodes if _is_product(graph, n) and n.input[0] not in keep]
    how: dict[str, _How] = dict.fromkeys((n.input[0] for n in products), None)
    if scheme != "per-token":
        if batches is None:
            raise ValueError(f"scheme {scheme} needs calibration texts")
        how = _calibrate(source, graph, products, batches, clip, seen, mixed=scheme == "mixed")
    rewriting = _Rewriting(graph, cpu, how, {id(n) for n in products})
    for node in graph.nodes:
        rewriting.take(node)
    graph.save(target)


def _is_product(graph: Editing, node: Any) -> bool:
    return (
        node.op_type == "MatMul" and node.input[1] in graph.constants and len(graph.constants[node.input[1]].dims) == 2
    )


def _calibrate(
    source: Path,
    graph: Editing,
    products: list[Any],
    batches: ranges.Batches,
    clip: ranges.Clip,
    before: ranges.Channels | None,
    *,
    mixed: bool,
) -> dict[str, _How]:
    seen = ranges.channels(source, list(dict.fromkeys(n.input[0] for n in products)), batches, before)
    how: dict[str, _How] = {}
    smoothed: dict[str, tuple[NDArray[np.float32], float, float]] = {}
    for site in _group(products):
        low = np.min([seen[x][0] for x in site.inputs], axis=0)
        high = np.max([seen[x][1] for x in site.inputs], axis=0)
        if mixed and -low.min() < _ONE_SIDED * high.max():
            how |= dict.fromkeys(site.inputs, _OneSided(np.float32(max(0.0, -low.min()))))
            continue
        divisor = _divisor(np.maximum(-low, high), [graph.array(w) for w in site.weights])
        for x in site.inputs:
            low, high = seen[x] / divisor
            smoothed[x] = divisor, min(0.0, float(low.min())), max(_TINY, float(high.max()))
    for x, (first, last) in ranges.clip(source, smoothed, batches, clip).items():
        scale = np.float32((last - first) / 255)
        how[x] = _Static(scale, np.uint8(np.clip(round(-first / scale), 0, 255)), smoothed[x][0])
    return how


def _group(products: list[Any]) -> list[_Site]:
    """Group products that must share a divisor: those of one input, and those of one matrix (ALBERT's layers)."""
    found: list[_Site] = []
    for node in products:
        x, w = node.input[:2]
        related = [site for site in found if x in site.inputs or w in site.weights]
        merged = _Site([x], [w])
        for site in related:
            merged.inputs += [i for i in site.inputs if i not in merged.inputs]
            merged.weights += [i for i in site.weights if i not in merged.weights]
            found.remove(site)
        found.append(merged)
    return found


def _divisor(loudness: NDArray[np.float32], matrices: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return c [K]: loudness^α / weight^(1-α) by channel, its geometric mean 1."""
    weight = np.max([np.abs(m).max(axis=1) for m in matrices], axis=0)
    divisor = np.maximum(loudness, 1e-5) ** _SMOOTHING / np.maximum(weight, 1e-5) ** (1 - _SMOOTHING)
    result: NDArray[np.float32] = (divisor / np.exp(np.log(divisor).mean())).astype(np.float32)
    return result


class _Rewriting:
    """Takes a graph's nodes in order and puts integer products in the place of the chosen ones."""

    def __init__(self, graph: Editing, cpu: Cpu, how: dict[str, _How], products: set[int]) -> None:
        self._graph, self._cpu, self._how, self._products = graph, cpu, how, products
        self._levels: dict[str, tuple[str, str]] = {}
        """By input: its quantised form, and the row scales where it has some."""
        self._absorbed: dict[int, str] = {}
        """By node: the bias that a product has taken from it."""

    def take(self, node: Any) -> None:
        if id(node) in self._products:
            x, w, y = node.input[0], node.input[1], node.output[0]
            how = self._how[x]
            if isinstance(how, _Static):
                self._static(x, w, y, how)
            elif isinstance(how, _OneSided):
                self._one_sided(x, w, y, how)
            else:
                self._per_token(x, w, y)
        elif id(node) in self._absorbed:
            self._without(node, self._absorbed[id(node)])
        else:
            self._graph.keep(node)

    def _static(self, x: str, w: str, y: str, how: _Static) -> None:
        graph = self._graph
        scale, zero = graph.constant(f"{x}/int8_scale", how.scale), graph.constant(f"{x}/int8_zero", how.zero)
        if x not in self._levels:
            smooth = graph.add("Mul", [x, graph.constant(f"{x}/divisor", 1 / how.divisor)], f"{x}/smooth")
            self._levels[x] = graph.add("QuantizeLinear", [smooth, scale, zero], f"{x}/uint8"), ""
        matrix, channel, none = self._matrix(w, how.divisor)
        inputs = [self._levels[x][0], matrix, scale, channel, zero, none]
        graph.add("MatMulIntegerToFloat", [*inputs, *self._absorb(w, y)], y, contrib=True)

    def _per_token(self, x: str, w: str, y: str) -> None:
        graph = self._graph
        if x not in self._levels:
            largest = graph.add("ReduceMax", [graph.add("Abs", [x], f"{x}/abs"), self._axis()], f"{x}/max", keepdims=1)
            self._levels[x] = self._by_row(x, x, largest, 127, 128)
        self._product_by_row(x, w, y, 127, 128)

    def _one_sided(self, x: str, w: str, y: str, how: _OneSided) -> None:
        graph = self._graph
        if x not in self._levels:
            up = graph.add("Add", [x, graph.constant(f"{x}/offset", how.offset)], f"{x}/up")
            largest = graph.add("ReduceMax", [up, self._axis()], f"{x}/max", keepdims=1)
            self._levels[x] = self._by_row(x, up, largest, 255, 0)
        lift = -how.offset * self._real(w).sum(axis=0)
        for bias in self._absorb(w, y):  # one addition for both
            lift = lift + graph.array(bias)
        scaled = self._product_by_row(x, w, f"{y}/scaled", 255, 0)
        graph.add("Add", [scaled, graph.constant(f"{y}/lift", lift.astype(np.float32))], y)

    def _by_row(self, x: str, values: str, largest: str, levels: int, zero: int) -> tuple[str, str]:
        """Return ``(levels, row scale)``; a row of zeros stays one."""
        graph = self._graph
        largest = graph.add("Max", [largest, graph.constant("int8/tiny", np.float32(_TINY))], f"{x}/row_scale")
        unit = graph.add("Div", [values, largest], f"{x}/unit")
        per_level = graph.constant(f"int8/per_level_{levels}", np.float32(1 / levels))
        middle = graph.constant(f"int8/zero_{zero}", np.uint8(zero))
        return graph.add("QuantizeLinear", [unit, per_level, middle], f"{x}/uint8"), largest

    def _product_by_row(self, x: str, w: str, y: str, levels: int, zero: int) -> str:
        graph = self._graph
        quantized, rows = self._levels[x]
        matrix, channel, none = self._matrix(w, None)
        per_level = graph.constant(f"int8/per_level_{levels}", np.float32(1 / levels))
        inputs = [quantized, matrix, per_level, channel, graph.constant(f"int8/zero_{zero}", np.uint8(zero)), none]
        return graph.add("Mul", [graph.add("MatMulIntegerToFloat", inputs, f"{y}/unit", contrib=True), rows], y)

    def _real(self, w: str) -> NDArray[np.float32]:
        """Return the matrix as its int8 form has it."""
        levels, scale = quantize_weights(self._graph.array(w).astype(np.float32), self._cpu)
        return levels * scale

    def _matrix(self, w: str, divisor: NDArray[np.float32] | None) -> tuple[str, str, str]:
        """Return the names of the int8 matrix, its channel scales and its zero points."""
        graph = self._graph
        matrix = graph.array(w).astype(np.float32)
        levels, scale = quantize_weights(matrix if divisor is None else matrix * divisor[:, None], self._cpu)
        return (
            graph.constant(f"{w}/int8", levels),
            graph.constant(f"{w}/int8_scale", scale),
            graph.constant(f"{w}/int8_zero", np.zeros(len(scale), np.int8)),
        )

    def _absorb(self, w: str, y: str) -> list[str]:
        """Take the bias of ``y = x @ w`` from the one node that adds it; it costs nothing inside the product."""
        graph = self._graph
        consumers = graph.consumers(y)
        if len(consumers) != 1 or y in {value.name for value in graph.model.graph.output}:
            return []
        node = consumers[0]
        if node.op_type not in ("BiasGelu", "Add", "Sum") or id(node) in self._absorbed:
            return []
        biases = [name for name in node.input if name in graph.constants and len(graph.constants[name].dims) == 1]
        if len(biases) != 1 or graph.constants[biases[0]].dims[0] != graph.constants[w].dims[1]:
            return []
        self._absorbed[id(node)] = biases[0]
        return biases

    def _without(self, node: Any, bias: str) -> None:
        rest = [name for name in node.input if name != bias]
        if node.op_type == "BiasGelu":
            self._graph.add("Gelu", rest, node.output[0], contrib=True)
        elif len(rest) == 1:
            self._graph.add("Identity", rest, node.output[0])
        else:
            self._graph.add("Sum", rest, node.output[0])

    def _axis(self) -> str:
        return self._graph.constant("int8/last_axis", np.array([-1]))
