"""What every part measures with: texts, the engine alone, and loads whose answers are checked."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from luxe.console import progress
from luxe.manifest import Manifest, engine_name
from luxe.schema import Entry
from luxe_bench.cost import copies, metrics, reference
from luxe_bench.cost.generator import Job
from luxe_bench.cost.reference import Reference
from luxe_bench.cost.running import Running
from luxe_bench.cost.servers import Target
from luxe_bench.cost.statistics import Load
from luxe_bench.cost.workload import Texts

__all__ = ["Rig"]

_WARM_UP = 200
_WARM_UP_CALLERS = 8
_CLOSED_S = 120.0
_TIMEOUT_S = 30.0
_SETTLED_S = 4.0
"""Luxe's server hands its counters on every 2 s."""


@dataclasses.dataclass
class Rig:
    """One run of the bench.

    `size` texts, for `seconds` where a load has a length, in `scratch`.
    """

    entry: Entry
    source: Path
    """The project's repository."""
    manifest: Manifest
    """Of the version that is measured."""
    scratch: Path
    texts: Texts
    reference: Reference
    size: int
    seconds: float
    checked: int = 0
    wrong: int = 0
    """Answers that were not the ones of their texts, in all loads so far."""
    failed: int = 0
    """Requests of closed loops, which no server may refuse, that were not answered."""

    def repository(self, folder: str, names: Sequence[str]) -> Path:
        """Return a new repository with the measured version under these names."""
        return copies.copy(self.source, self.manifest, names, self.scratch / folder)

    def version(self) -> tuple[Path, Path]:
        """Return the folders of the measured version: of the text model, and of its engine."""
        name, version = self.manifest.model, str(self.manifest.version)
        return self.source / name / version, self.source / engine_name(name) / version

    def closed(
        self, target: Target, texts: Sequence[str], *, callers: int, what: str, counted: bool = False
    ) -> tuple[Load, metrics.Counters]:
        """Send texts, each caller the next one when it has an answer; a warm-up goes before.

        Returns:
            What happened, and, where it is to be `counted`, how far the server's counters rose meanwhile.
        """
        load, grown = self._run(target, texts, callers=callers, what=what, counted=counted)
        self.failed += int((load.sent & ~load.answered).sum())
        return load, grown

    def open(self, target: Target, due_s: NDArray[np.float64], *, what: str, timeout_s: float = _TIMEOUT_S) -> Load:
        """Send new texts when they are due; ``timeout_s`` is the deadline that each request carries."""
        texts = self.texts.take(len(due_s))
        return self._run(target, texts, due_s=due_s, what=what, timeout_s=timeout_s)[0]

    def start(
        self,
        target: Target,
        texts: Sequence[str],
        *,
        callers: int = _WARM_UP_CALLERS,
        due_s: NDArray[np.float64] | None = None,
        seconds: float = _CLOSED_S,
        timeout_s: float = _TIMEOUT_S,
        name: str = "load",
    ) -> Running:
        """Return a load, which begins to warm the server up in a ``with`` block."""
        warm_up = self.texts.take(min(_WARM_UP, self.size))
        result = self.scratch / f"{name}.npz"
        job = Job(
            protocol=target.protocol,
            address=target.address,
            model=target.model,
            texts=[*warm_up, *texts],
            warm_up=len(warm_up),
            callers=callers,
            due_s=None if due_s is None else due_s.tolist(),
            seconds=seconds,
            timeout_s=timeout_s,
            result=str(result),
        )
        path = self.scratch / f"{name}.json"
        path.write_text(json.dumps(dataclasses.asdict(job)), encoding="utf-8")
        return Running(target, path, self.scratch / f"{name}.log", list(texts), due_s, result, seconds)

    def finish(self, running: Running) -> Load:
        """Return what happened in a load that has ended, and check its answers."""
        load, scores = running.load()
        self._check(running.texts, load, scores)
        return load

    def _check(self, texts: Sequence[str], load: Load, scores: NDArray[np.float32]) -> None:
        """Hold every answer against the engine's own for the same text."""
        answered = np.flatnonzero(load.answered)
        if not len(answered):
            return
        expected = self.reference.scores([texts[i] for i in answered])
        same = scores.shape[1] == expected.shape[1]
        self.wrong += int(reference.wrong(scores[answered], expected).sum()) if same else len(answered)
        self.checked += len(answered)

    def _run(
        self,
        target: Target,
        texts: Sequence[str],
        *,
        what: str,
        callers: int = _WARM_UP_CALLERS,
        due_s: NDArray[np.float64] | None = None,
        timeout_s: float = _TIMEOUT_S,
        counted: bool = False,
    ) -> tuple[Load, metrics.Counters]:
        with self.start(target, texts, callers=callers, due_s=due_s, timeout_s=timeout_s) as running:
            before = _counters(target) if counted else {}
            running.go()
            with progress() as bar:
                task = bar.add_task(what, total=len(texts))
                running.wait(lambda answered: bar.update(task, completed=answered))
            grown = metrics.growth(before, _counters(target)) if counted else {}
        return self.finish(running), grown


def _counters(target: Target) -> metrics.Counters:
    time.sleep(_SETTLED_S)
    return target.counters()
