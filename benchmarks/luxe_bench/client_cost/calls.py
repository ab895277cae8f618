"""Processor time of one call: our client's process against tritonclient's, in turn."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from luxe.console import progress
from luxe.errors import UserError
from luxe_bench.client_cost.callers import Callers
from luxe_bench.client_cost.fake import LABELS
from luxe_bench.cost.worker import Worker

__all__ = ["Calls", "calls"]

_SHELLS = {"sync": ("luxe", "tritonclient"), "asyncio": ("luxe asyncio", "tritonclient asyncio")}
_CALLERS = (1, 8)
_TEXT = "where can i get those boots, i need them for saturday"
_WARM_UP = 300
_ANSWER_S = 30.0


@dataclasses.dataclass(frozen=True)
class Calls:
    """One shell, at one number of callers; the lists have a figure a round."""

    shell: str
    callers: int
    luxe_us: list[float]
    tritonclient_us: list[float]
    """Processor time of a call, in microseconds."""

    @property
    def ratios(self) -> list[float]:
        """Ours over tritonclient's, round by round."""
        return [a / b for a, b in zip(self.luxe_us, self.tritonclient_us, strict=True)]

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios."""
        return float(np.median(self.ratios))


def calls(scratch: Path, *, rounds: int, count: int) -> list[Calls]:
    """Ask a server whose answers are constant, ``count`` times a round with each client.

    Raises:
        UserError: a call failed, or an answer was not the server's.
    """
    ways = [way for pair in _SHELLS.values() for way in pair]
    used: dict[tuple[str, int], list[float]] = {(way, callers): [] for way in ways for callers in _CALLERS}
    with Worker("luxe_bench.client_cost.fake", [], scratch / "fake.log") as fake:
        address = fake.receive(timeout_s=_ANSWER_S)["address"]
        with Callers(ways, address, "fake", scratch) as callers, progress() as bar:
            task = bar.add_task("processor time of a call", total=rounds * len(used))
            for way, many in used:
                _cpu_us(callers, way, many, _WARM_UP)
            for number in range(rounds):
                # To and fro, so that no client always goes first.
                for way, many in list(used)[:: 1 if number % 2 else -1]:
                    fake.send("forget")
                    fake.receive(timeout_s=_ANSWER_S)
                    used[way, many].append(_cpu_us(callers, way, many, count))
                    bar.advance(task)
    return [
        Calls(shell, many, *(used[way, many] for way in pair)) for many in _CALLERS for shell, pair in _SHELLS.items()
    ]


def _cpu_us(callers: Callers, way: str, many: int, count: int) -> float:
    went = callers.go(way, [_TEXT] * count, callers=many)
    if set(went.labels) != {LABELS[0]}:
        raise UserError(f"{way} understands the server otherwise: {sorted(set(went.labels))}")
    return 1e6 * went.cpu_s / count
