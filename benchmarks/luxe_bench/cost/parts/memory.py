"""How long a server takes to start and what it holds, with one model and with eight."""

from __future__ import annotations

import dataclasses
import time

from luxe_bench import processes
from luxe_bench.cost import servers
from luxe_bench.cost.rig import Rig

__all__ = ["MODELS", "Memory", "Started", "memory"]

MODELS = (1, 8)


@dataclasses.dataclass(frozen=True)
class Started:
    """A server that has just answered every model once."""

    start_s: float
    """Until every model had answered."""
    proportional_bytes: int
    """PSS of all its processes: a page that they share counts once."""


@dataclasses.dataclass(frozen=True)
class Memory:
    """By number of models."""

    models: dict[int, Started]


def memory(rig: Rig) -> Memory:
    """Start a server for each number of models."""
    name = rig.entry.name
    found = {}
    for count in MODELS:
        names = [name, *(f"{name}-{i}" for i in range(2, count + 1))]
        repository = rig.repository(f"memory-{count}", names)
        began = time.monotonic()
        with servers.luxe(repository, name, rig.scratch / "triton.log") as target:
            found[count] = Started(time.monotonic() - began, processes.proportional_bytes(target.pid))
    return Memory(found)
