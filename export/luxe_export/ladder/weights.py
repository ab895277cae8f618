"""Weights in int8, one scale an output channel; on CPUs whose int8 product saturates, in such a way that it cannot."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Cpu", "cpu_family", "quantize_weights"]

Cpu = Literal["vnni", "avx2", "arm"]

_INT16 = 32767
_ACTIVATION = 255


def cpu_family() -> Cpu:
    """Return the family of this CPU: "arm", "vnni" (exact int8 products) or "avx2" (products that saturate)."""
    with contextlib.suppress(OSError):
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        if "asimd" in flags:
            return "arm"
        if "avx512_vnni" in flags or "avx_vnni" in flags:
            return "vnni"
    return "avx2"


def quantize_weights(matrix: NDArray[np.float32], cpu: Cpu) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return ``(W8 [K, N], scale [N])`` with W ≈ W8 · scale, symmetric.

    AVX2 has no int8 dot product: VPMADDUBSW multiplies uint8 activations with int8 weights and adds two neighbours in
    int16, which saturates (ONNX Runtime docs, "Quantize ONNX models", recommend 7 bits, ``reduce_range``). It is enough
    that no two neighbours can reach 32,767 together: |a₁w₁ + a₂w₂| ≤ 255 · max(|w₁|, |w₂|, |w₁ + w₂|). Two large
    neighbours of the same sign are rare, so this costs about a third of a bit instead of a whole one.
    """
    scale = np.abs(matrix).max(axis=0) / 127
    if cpu == "avx2":
        padded = np.pad(matrix, ((0, matrix.shape[0] % 2), (0, 0)))
        # Rounding may add a half to each of the two.
        scale = np.maximum(scale, np.abs(padded[0::2] + padded[1::2]).max(axis=0) / (_INT16 // _ACTIVATION - 1))
    scale = np.maximum(scale, 1e-10).astype(np.float32)
    return np.clip(np.round(matrix / scale), -127, 127).astype(np.int8), scale
