"""Settings that are measured in turn: each has a server of its own, and is loaded while the others rest."""

from __future__ import annotations

import dataclasses
import functools
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from luxe.console import step
from luxe.schema import Serving, Slo
from luxe_bench.cost import copies, servers
from luxe_bench.cost.rig import Rig
from luxe_bench.cost.schedule import poisson
from luxe_bench.cost.servers import Target
from luxe_bench.cost.statistics import Load, Summary, summary
from luxe_bench.samples import Sample
from luxe_bench.tune import choice, others
from luxe_bench.tune.choice import Measured
from luxe_bench.tune.fleet import fleet
from luxe_bench.tune.knobs import Knobs
from luxe_bench.tune.search import FINAL
from luxe_bench.verdict import Check, judge

__all__ = ["CALLERS", "Trial", "judged", "open_seconds"]

CALLERS = 32
_OPEN_REQUESTS = 300
_OPEN_S = (5.0, 20.0)


@dataclasses.dataclass
class Trial:
    """Measures what a search asks for; a `luxe_bench.tune.search.Measure`.

    Every server of a round gets the same texts, and no server gets one twice.
    """

    rig: Rig
    to_serving: Callable[[Knobs], Serving]
    """What the catalogue would say."""
    rounds: int
    texts: int
    """Of a round."""
    others: list[float] = dataclasses.field(default_factory=list)
    """Of each closed loop, the share of the machine that everything else took."""
    _open: dict[Knobs, tuple[Summary, Sequence[Check]]] = dataclasses.field(default_factory=dict)

    def __call__(self, name: str, values: Sequence[Knobs]) -> list[Measured]:
        """Return each setting's figures.

        Raises:
            UserError: a server does not start, or a load does not end.
        """
        step(f"{name}: {'; '.join(map(str, values))}")
        with (
            tempfile.TemporaryDirectory(dir=self.rig.scratch) as folder,
            fleet(
                [functools.partial(self._server, one, Path(folder) / str(i)) for i, one in enumerate(values)]
            ) as targets,
        ):
            if name == FINAL:
                self._open.clear()  # what decides is measured anew
            for one, target in zip(values, targets, strict=True):
                if one not in self._open:
                    self._open[one] = self._at_the_slo(target, f"{name}, at the rate of the SLO: {one}")
            rounds: list[list[Summary]] = [[] for _ in values]
            for number in range(self.rounds):
                texts = self.rig.texts.take(self.texts)
                what = f"{name}, round {number + 1} of {self.rounds}"
                # Every other round backwards: a machine that slows down must not favour the first.
                for i in list(range(len(values)))[:: -1 if number % 2 else 1]:
                    now = self._measured(values, rounds)
                    if i and choice.hopeless(now[i], now[0]):
                        continue
                    before = others.now()
                    load, _ = self.rig.closed(targets[i], texts, callers=CALLERS, what=f"{what}: {values[i]}")
                    rounds[i].append(summary(load))
                    self.others.append(others.share(before, others.now()))
        return self._measured(values, rounds)

    def _measured(self, values: Sequence[Knobs], rounds: Sequence[Sequence[Summary]]) -> list[Measured]:
        return [Measured(one, own, *self._open[one]) for one, own in zip(values, rounds, strict=True)]

    def _server(self, knobs: Knobs, folder: Path) -> AbstractContextManager[Target]:
        rig, name = self.rig, self.rig.entry.name
        if not folder.exists():
            copies.copy(rig.source, rig.manifest, [name], folder, serving=self.to_serving(knobs))
        return servers.luxe(folder, name, rig.scratch / "triton.log")

    def _at_the_slo(self, target: Target, what: str) -> tuple[Summary, Sequence[Check]]:
        """Send requests at the `[slo]`'s rate; a miss is measured again, and then the second time counts."""
        slo = self.rig.entry.slo
        for _ in range(2):
            due_s = poisson(slo.requests_per_s, self.rig.seconds)
            load = self.rig.open(target, due_s, what=what)
            checks = judged(load, due_s, slo, self.rig.seconds)
            if all(check.met for check in checks):
                break
        return summary(load), checks


def open_seconds(slo: Slo) -> float:
    """Return how long an open loop takes unless told: 300 requests, in 5 to 20 s."""
    least, most = _OPEN_S
    return min(most, max(least, _OPEN_REQUESTS / slo.requests_per_s))


def judged(load: Load, due_s: NDArray[np.float64], slo: Slo, seconds: float) -> Sequence[Check]:
    """Hold an open loop of so many seconds against the `[slo]`, as `luxe bench` does.

    Its rate is that of the requests that chance made due, not of those expected.
    """
    kinds = [None if status == "OK" else status for status in load.status]
    samples = [Sample(*one) for one in zip(due_s.tolist(), load.latency_ms.tolist(), kinds, strict=True)]
    return judge(samples, slo, offered_per_s=len(due_s) / seconds, duration_s=seconds).checks
