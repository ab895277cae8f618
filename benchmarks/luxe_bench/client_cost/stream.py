"""Texts a second: `iter_classify` against 32 callers written by hand, in turn, on luxe's server."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from luxe.console import progress
from luxe_bench.client_cost.callers import Callers
from luxe_bench.cost import servers
from luxe_bench.cost.workload import Texts

__all__ = ["BATCHES", "ONES", "STREAM", "Stream", "stream"]

STREAM, ONES, BATCHES = "iter_classify", "32 callers, a text each", "32 callers, 32 texts each"
_CALLERS = 32
_WAYS = {STREAM: ("iter_classify", 1), ONES: ("tritonclient", 1), BATCHES: ("tritonclient", 32)}
"""The way of each, and the texts of a request; `iter_classify` knows its own."""
_WARM_UP = 200


@dataclasses.dataclass(frozen=True)
class Stream:
    """The lists have a figure a round."""

    texts_a_round: int
    per_s: dict[str, list[float]]
    client_cpu_us: dict[str, list[float]]
    """Of the caller's process, a text."""
    differing: int
    """Labels that were not those of `iter_classify`."""

    def ratios(self, other: str) -> list[float]:
        """Texts a second of `iter_classify` over another's, round by round."""
        return [a / b for a, b in zip(self.per_s[STREAM], self.per_s[other], strict=True)]

    def ratio(self, other: str) -> float:
        """The median of the rounds' ratios."""
        return float(np.median(self.ratios(other)))


def stream(repository: Path, model: str, texts: Texts, scratch: Path, *, rounds: int, count: int) -> Stream:
    """Have ``count`` texts a round classified, the same ones in each way.

    Args:
        repository: serves the model; without a cache, which would know the texts the second time.

    Raises:
        UserError: the server does not start, or a call failed.
    """
    per_s: dict[str, list[float]] = {name: [] for name in _WAYS}
    cpu_us: dict[str, list[float]] = {name: [] for name in _WAYS}
    differing = 0
    ways = sorted({way for way, _ in _WAYS.values()})
    with (
        servers.luxe(repository, model, scratch / "triton.log") as target,
        Callers(ways, target.address, model, scratch) as callers,
        progress() as bar,
    ):
        task = bar.add_task("texts a second", total=rounds * len(_WAYS))
        for way, batch in _WAYS.values():
            callers.go(way, texts.take(_WARM_UP), callers=_CALLERS, batch=batch)
        for number in range(rounds):
            some, labels = texts.take(count), {}
            for name in list(_WAYS)[:: 1 if number % 2 else -1]:
                way, batch = _WAYS[name]
                went = callers.go(way, some, callers=_CALLERS, batch=batch)
                per_s[name].append(count / went.wall_s)
                cpu_us[name].append(1e6 * went.cpu_s / count)
                labels[name] = went.labels
                bar.advance(task)
            differing += sum(_differing(labels[STREAM], labels[other]) for other in (ONES, BATCHES))
    return Stream(count, per_s, cpu_us, differing)


def _differing(labels: Sequence[str], others: Sequence[str]) -> int:
    return sum(a != b for a, b in zip(labels, others, strict=True))
