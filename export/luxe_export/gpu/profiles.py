"""TensorRT optimisation profiles, from the lengths of the model's own texts.

TensorRT tunes its kernels for one shape a profile, and is slower the further a batch is from it. Texts are mostly short
with a long tail, so one profile is tuned for the many and one for the tail. Each covers every batch size and every
length up to its own longest; Triton takes the profile whose tuned shape is nearest among those that fit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

__all__ = ["Profile", "profiles", "span"]

_SPLIT = 90
"""Percentile of the lengths that ends the short profile."""
_STEP = 8
"""Lengths are rounded up to this: fp16 tensor cores work in eights."""


@dataclasses.dataclass(frozen=True)
class Profile:
    """Shapes ``(batch, length)`` of every input tensor: the smallest, the one tuned for, the largest."""

    smallest: tuple[int, int]
    tuned: tuple[int, int]
    largest: tuple[int, int]

    def __post_init__(self) -> None:
        for low, middle, high in zip(self.smallest, self.tuned, self.largest, strict=True):
            if not 1 <= low <= middle <= high:
                raise ValueError(f"not ascending from 1: {self}")

    def covers(self, batch: int, length: int) -> bool:
        """Return whether a batch of texts padded to ``length`` tokens runs in this profile."""
        (fewest, shortest), (most, longest) = self.smallest, self.largest
        return fewest <= batch <= most and shortest <= length <= longest


def profiles(lengths: Sequence[int], max_batch: int, max_length: int) -> tuple[Profile, ...]:
    """Return one profile, or one for short texts and one that covers all.

    Args:
        lengths: tokens of each text of the data, special tokens included, in any order; longer ones count as cut.
        max_batch: most texts the engine is given at once.
        max_length: tokens a text is cut to.

    Raises:
        ValueError: no lengths, or a limit under 1.
    """
    if not len(lengths) or max_batch < 1 or max_length < 1:
        raise ValueError("profiles need lengths, and limits of at least 1")
    known = np.clip(np.asarray(lengths), 1, max_length)
    short = _round_up(float(np.percentile(known, _SPLIT)), max_length)
    typical = _round_up(float(np.median(known)), max_length)
    whole = Profile((1, 1), (max_batch, max_length), (max_batch, max_length))
    if short == max_length:
        return (dataclasses.replace(whole, tuned=(max_batch, typical)),)
    return Profile((1, 1), (max_batch, min(typical, short)), (max_batch, short)), whole


def span(given: Sequence[Profile]) -> Profile:
    """Return one profile over all of them, tuned as the first: for those who take only one."""
    return Profile(
        smallest=(min(p.smallest[0] for p in given), min(p.smallest[1] for p in given)),
        tuned=given[0].tuned,
        largest=(max(p.largest[0] for p in given), max(p.largest[1] for p in given)),
    )


def _round_up(length: float, most: int) -> int:
    return min(most, int(np.ceil(length / _STEP)) * _STEP)
