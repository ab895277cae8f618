"""What a load test measured: one sample for every request that was due, sent or not."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path

__all__ = ["Sample", "read", "write"]


@dataclasses.dataclass(frozen=True)
class Sample:
    """One request of an open-loop run."""

    due_s: float
    """When it was due, in seconds from the start of the run."""
    latency_ms: float
    """From when it was due, not from when it was sent: a late generator or a slow server cannot hide a wait."""
    error: str | None
    """Kind of the error; None for an answer."""


def write(path: Path, samples: Iterable[Sample]) -> None:
    """Write JSON lines."""
    with path.open("w", encoding="utf-8") as file:
        for sample in samples:
            file.write(json.dumps(dataclasses.asdict(sample)) + "\n")


def read(path: Path) -> list[Sample]:
    """Read JSON lines, in the order in which the requests were due."""
    with path.open(encoding="utf-8") as file:
        return sorted((Sample(**json.loads(line)) for line in file), key=lambda s: s.due_s)
