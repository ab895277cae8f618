"""What is searched: which values a server may run with, and how the catalogue says them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from luxe.schema import Serving
from luxe_serving import cores as counted

__all__ = ["COORDINATES", "Knobs", "alternatives", "changes", "of", "to_serving"]

ENGINES, MICRO_BATCH, DELAY = COORDINATES = ("engines", "micro-batch", "delay")

_DELAYS_US = (0, 1000, 5000)
_LEAST_MICRO_BATCH = 4
"""Less is slow on every model measured so far; what the catalogue says is tried all the same."""


@dataclasses.dataclass(frozen=True)
class Knobs:
    """The settings of one server, as it runs: no number is left open."""

    instances: int
    """Engines."""
    threads: int
    """Of each engine."""
    micro_batch: int
    """Most texts that an engine is given at once."""
    delay_us: int
    """Microseconds that Triton holds a request back."""

    def __str__(self) -> str:
        return f"{self.instances} × {self.threads}, micro-batch {self.micro_batch}, {self.delay_us} µs"


def of(serving: Serving, cores: int) -> Knobs:
    """Return what a server of the catalogue's settings runs with on so many cores."""
    threads = serving.intra_op_threads
    instances = _running(serving.engine_instances, threads, cores)
    return Knobs(instances, threads, serving.max_micro_batch, serving.max_queue_delay_us)


def alternatives(current: Knobs, cores: int, max_batch_size: int) -> dict[str, list[Knobs]]:
    """Return by coordinate what differs from `current` in this coordinate alone, the ones most promising first.

    Args:
        cores: to share among engines and their threads.
        max_batch_size: an engine takes no more texts at once.
    """
    replace = dataclasses.replace
    found = {
        ENGINES: [replace(current, instances=i, threads=t) for i, t in _pairs(cores)],
        MICRO_BATCH: [replace(current, micro_batch=size) for size in _micro_batches(max_batch_size)],
        DELAY: [replace(current, delay_us=delay) for delay in _DELAYS_US],
    }
    return {name: [one for one in values if one != current] for name, values in found.items()}


def to_serving(start: Serving, knobs: Knobs, cores: int) -> Serving:
    """Return `start` with other knobs.

    The number of instances is left as it is where it still says the right one, and left open where the cores do.
    """
    ways = (start.engine_instances, None, knobs.instances)
    instances = next(way for way in ways if _running(way, knobs.threads, cores) == knobs.instances)
    return start.model_copy(
        update={
            "engine_instances": instances,
            "intra_op_threads": knobs.threads,
            "max_micro_batch": knobs.micro_batch,
            "max_queue_delay_us": knobs.delay_us,
        }
    )


def changes(start: Serving, wanted: Serving) -> Mapping[str, int | None]:
    """Return the keys of `[serving]` that differ, with what is wanted; None where a key is to be left out."""
    keys = [key for key in Serving.model_fields if getattr(start, key) != getattr(wanted, key)]
    return {key: getattr(wanted, key) for key in keys}


def _running(instances: int | None, threads: int, cores: int) -> int:
    return counted.instances(threads, cores=cores) if instances is None else instances


def _pairs(cores: int) -> list[tuple[int, int]]:
    """Return instances and threads that fill the cores, and at last engines on half of them.

    The half leaves the other to tokenisation and to Triton. One engine is the least.
    """
    threads = [2**power for power in range(cores.bit_length())]
    filled = [(cores // count, count) for count in threads]
    return list(dict.fromkeys([*filled, (max(1, cores // 2), 1)]))


def _micro_batches(most: int) -> list[int]:
    return [size for size in (2**power for power in range(most.bit_length())) if size >= _LEAST_MICRO_BATCH]
