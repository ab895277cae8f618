"""The ladder: the same model at several precisions, each step a `Recipe`.

recipes(target)               ─► the steps that are tried by default, in the order that settles ties
Workshop(raw, …)              ─► what all of them start from, built once
build(recipe, workshop, path) ─► one candidate's ONNX file
"""

from __future__ import annotations

from luxe_export.ladder._recipes import Recipe, build, recipes
from luxe_export.ladder._workshop import Workshop
from luxe_export.ladder.weights import Cpu, cpu_family

__all__ = ["Cpu", "Recipe", "Workshop", "build", "cpu_family", "recipes"]
