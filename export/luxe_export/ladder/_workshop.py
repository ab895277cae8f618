"""What all candidates start from, each graph built once and only if somebody asks for it."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

from luxe_export.ladder import embedding, fusion, ranges
from luxe_export.ladder.ranges import Batches
from luxe_export.ladder.weights import Cpu

__all__ = ["Workshop"]


@dataclasses.dataclass(frozen=True)
class Workshop:
    """One export's graphs and training texts."""

    raw: Path
    """fp32, as `luxe_export.graph.to_onnx` wrote it."""
    config: Any
    """transformers config."""
    folder: Path
    """For scratch files."""
    cpu: Cpu
    batches: Batches | None
    """Training texts to calibrate with; None where there are none."""
    channels: ranges.Channels = dataclasses.field(default_factory=dict)
    """Of `small`, as far as they were asked for; see `ranges.channels`."""

    @functools.cached_property
    def fused(self) -> Path:
        """fp32 with its operators fused for the CPU."""
        path = self.folder / "fused.onnx"
        fusion.fuse(self.raw, path, self.config)
        return path

    @functools.cached_property
    def open(self) -> Path:
        """fp32, fused, with every projection and table open to quantisation."""
        path = self.folder / "open.onnx"
        fusion.fuse(self.raw, path, self.config, for_int8=True)
        return path

    @functools.cached_property
    def small(self) -> Path:
        """`open` with its embedding tables in int8."""
        path = self.folder / "small.onnx"
        embedding.shrink(self.open, path)
        return path

    @functools.cached_property
    def half(self) -> Path:
        """fp32, fused for CUDA."""
        from luxe_export.gpu import fp16

        path = self.folder / "for-cuda.onnx"
        fp16.fuse(self.raw, path, self.config)
        return path
