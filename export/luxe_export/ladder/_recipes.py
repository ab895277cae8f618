"""The steps of the ladder, and which of them are tried where."""

from __future__ import annotations

import dataclasses
import functools
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from luxe.errors import UserError
from luxe.onnx_file import problems
from luxe_export import memory
from luxe_export.ladder import int8, sensitivity, stock
from luxe_export.ladder._workshop import Workshop
from luxe_export.ladder.ranges import Clip

__all__ = ["Recipe", "build", "recipes"]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One way to make a candidate."""

    name: str
    about: str
    """One line for people."""
    make: Callable[[Workshop, Path], None]
    targets: tuple[str, ...] = ("cpu",)
    by_default: bool = True
    calibrated: bool = False
    """Needs training texts."""


def recipes(target: str, names: Sequence[str] | None = None, *, calibrated: bool = True) -> tuple[Recipe, ...]:
    """Return the candidates for a target, in the order that settles ties.

    Args:
        target: "cpu", "cuda" or "tensorrt".
        names: only these, also such as are not tried by default.
        calibrated: there are training texts; without, what needs them is left out.

    Raises:
        UserError: an unknown name, or one that needs training texts where there are none.
    """
    known = {recipe.name: recipe for recipe in _LADDER if target in recipe.targets}
    if names is None:
        return tuple(r for r in known.values() if r.by_default and (calibrated or not r.calibrated))
    for name in names:
        if name not in known:
            raise UserError(f"unknown candidate {name!r} for {target}: there are {', '.join(known)}")
        if known[name].calibrated and not calibrated:
            raise UserError(f"candidate {name!r} is calibrated on training texts, and there is no train.jsonl")
    return tuple(recipe for recipe in known.values() if recipe.name in names)


def build(recipe: Recipe, workshop: Workshop, target: Path) -> None:
    """Build one candidate.

    Raises:
        ValueError: the target server's ONNX Runtime could not read what came out, or luxe would not serve it.
    """
    recipe.make(workshop, target)
    memory.release()
    if found := problems(target):
        raise ValueError("; ".join(found))


def _fp32(workshop: Workshop, target: Path) -> None:
    shutil.copyfile(workshop.fused, target)


def _fp32_for_cuda(workshop: Workshop, target: Path) -> None:
    shutil.copyfile(workshop.half, target)


def _fp16(workshop: Workshop, target: Path) -> None:
    from luxe_export.gpu import fp16

    fp16.convert(workshop.half, target)


def _fp16_for_tensorrt(workshop: Workshop, target: Path) -> None:
    from luxe_export.gpu import fp16

    fp16.convert(workshop.raw, target)


def _int8(scheme: int8.Scheme, clip: Clip = "minmax") -> Callable[[Workshop, Path], None]:
    def make(workshop: Workshop, target: Path) -> None:
        int8.quantize(
            workshop.small,
            target,
            scheme=scheme,
            cpu=workshop.cpu,
            batches=workshop.batches,
            clip=clip,
            seen=workshop.channels,
        )

    return make


def _int8_mixed_float(workshop: Workshop, target: Path) -> None:
    assert workshop.batches is not None
    make = functools.partial(int8.quantize, scheme="mixed", cpu=workshop.cpu, batches=workshop.batches)
    keep = sensitivity.most_sensitive(workshop.open, workshop.folder, make, workshop.batches)
    make(workshop.small, target, keep=keep, seen=workshop.channels)


# In the order that settles ties: what depends on no neighbour and is most exact first.
_LADDER = (
    Recipe("fp32", "float, operators fused", _fp32),
    Recipe("int8-mixed", "int8, static scales, one a token after GELU", _int8("mixed"), calibrated=True),
    Recipe("int8-per-token", "int8, one activation scale a token", _int8("per-token")),
    Recipe("int8-static", "int8, static scales", _int8("static"), calibrated=True),
    Recipe("int8-dynamic", "ONNX Runtime's dynamic int8: one activation scale a batch", stock.dynamic),
    Recipe(
        "int8-mixed-float",
        "int8-mixed, its most sensitive quarter in float",
        _int8_mixed_float,
        by_default=False,
        calibrated=True,
    ),
    Recipe(
        "int8-static-percentile",
        "int8-static, the rarest values cut off",
        _int8("static", "percentile"),
        by_default=False,
        calibrated=True,
    ),
    Recipe(
        "int8-static-entropy",
        "int8-static, ranges by least information lost",
        _int8("static", "entropy"),
        by_default=False,
        calibrated=True,
    ),
    Recipe(
        "int8-qdq", "ONNX Runtime's static int8 (QDQ) by channel", stock.qdq(True), by_default=False, calibrated=True
    ),
    Recipe(
        "int8-qdq-per-tensor",
        "ONNX Runtime's static int8 (QDQ) by tensor",
        stock.qdq(False),
        by_default=False,
        calibrated=True,
    ),
    Recipe("int4-weights", "4-bit weights in blocks of 32, activations in float", stock.int4_weights, by_default=False),
    Recipe("fp16", "half precision; layer norm and softmax in float", _fp16, ("cuda",)),
    Recipe("fp32", "float, operators fused for CUDA", _fp32_for_cuda, ("cuda",)),
    Recipe("fp16", "half precision; layer norm and softmax in float", _fp16_for_tensorrt, ("tensorrt",)),
)
