"""Luxe against the engine alone and against FastAPI, in turn, on the same texts."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence

from luxe_bench.cost import servers
from luxe_bench.cost.rig import Rig
from luxe_bench.cost.servers import Target
from luxe_bench.cost.statistics import Summary, median, summary

__all__ = ["ENGINE", "FASTAPI", "LUXE", "TUNED", "Ratio", "ratio"]

LUXE, ENGINE = "luxe", "engine alone"
FASTAPI, TUNED = "FastAPI", "FastAPI, tuned"

_CALLERS = 32
_ROUND = 1000
_ALONE = 100
"""Texts a round that are sent by one caller."""
_SIZE_TEXTS = 400
"""Texts on which the engine's best size of batches is found."""


@dataclasses.dataclass(frozen=True)
class Ratio:
    """Medians over the rounds."""

    rounds: int
    texts_a_round: int
    engine_batch: int
    """The size of batches that costs the engine least."""
    engine_cpu_s_per_1000: float | None
    engine_alone_ms: float | None
    """Median of one text in process, with its tokenisation."""
    engine_alone_without_tokens_ms: float | None
    luxe_over_engine_cpu: float | None
    luxe_over_fastapi_per_s: float | None
    luxe_over_fastapi_cpu: float | None
    luxe_over_fastapi_p50: float | None
    """At one caller."""
    luxe_over_tuned_per_s: float | None
    luxe_over_tuned_cpu: float | None
    luxe_above_engine_ms: float | None
    """p50 at one caller less the engine's own time for one text."""
    servers: dict[str, list[Summary]]
    """Of each, a round at a time, at 32 callers."""
    one_caller: dict[str, list[Summary]]
    """Of each, a round at a time, at one caller."""


def ratio(rig: Rig) -> Ratio:
    """Measure round by round: the engine, luxe, FastAPI as one would write it, FastAPI tuned."""
    fixed = rig.texts.take(rig.size)
    size, _ = rig.reference.best_size(fixed[:_SIZE_TEXTS])
    rounds = max(1, round(len(fixed) / _ROUND))
    each = len(fixed) // rounds
    engine_cpu, alone_ms, only_ms = [], [], []
    many: dict[str, list[Summary]] = {}
    one: dict[str, list[Summary]] = {}
    with contextlib.ExitStack() as stack:
        running = _start(rig, stack)
        for number in range(rounds):
            texts = fixed[number * each : (number + 1) * each]
            engine_cpu.append(1000 * rig.reference.batches(texts, size)["cpu_s"] / each)
            _turn(rig, running, texts, _CALLERS, f"round {number + 1} of {rounds}", many)
            texts = rig.texts.take(min(_ALONE, each))
            times = rig.reference.alone(texts)
            alone_ms.append(median(times["with_tokens_ms"]))
            only_ms.append(median(times["engine_ms"]))
            _turn(rig, running, texts, 1, f"round {number + 1} of {rounds}", one)
    cpu = {name: [s.cpu_s_per_1000 for s in own] for name, own in many.items()}
    per_s = {name: [s.per_s for s in own] for name, own in many.items()}
    p50 = {name: [s.p50_ms for s in own] for name, own in one.items()}
    return Ratio(
        rounds=rounds,
        texts_a_round=each,
        engine_batch=size,
        engine_cpu_s_per_1000=median(engine_cpu),
        engine_alone_ms=median(alone_ms),
        engine_alone_without_tokens_ms=median(only_ms),
        luxe_over_engine_cpu=_over(cpu[LUXE], engine_cpu),
        luxe_over_fastapi_per_s=_over(per_s[LUXE], per_s[FASTAPI]),
        luxe_over_fastapi_cpu=_over(cpu[LUXE], cpu[FASTAPI]),
        luxe_over_fastapi_p50=_over(p50[LUXE], p50[FASTAPI]),
        luxe_over_tuned_per_s=_over(per_s[LUXE], per_s[TUNED]),
        luxe_over_tuned_cpu=_over(cpu[LUXE], cpu[TUNED]),
        luxe_above_engine_ms=median(
            [None if a is None or b is None else a - b for a, b in zip(p50[LUXE], alone_ms, strict=True)]
        ),
        servers=many,
        one_caller=one,
    )


def _start(rig: Rig, stack: contextlib.ExitStack) -> dict[str, Target]:
    name = rig.entry.name
    luxe = servers.luxe(rig.repository("ratio", [name]), name, rig.scratch / "triton.log")
    text, engine = rig.version()
    return {
        LUXE: stack.enter_context(luxe),
        FASTAPI: stack.enter_context(servers.fastapi(text, engine, rig.scratch / "fastapi.log")),
        TUNED: stack.enter_context(servers.fastapi(text, engine, rig.scratch / "tuned.log", threads=1)),
    }


def _turn(
    rig: Rig,
    running: dict[str, Target],
    texts: Sequence[str],
    callers: int,
    what: str,
    into: dict[str, list[Summary]],
) -> None:
    for name, target in running.items():
        load, _ = rig.closed(target, texts, callers=callers, what=f"{what}, {callers} callers: {name}")
        into.setdefault(name, []).append(summary(load))


def _over(own: Sequence[float | None], other: Sequence[float | None]) -> float | None:
    """Return the median of the rounds' ratios."""
    return median([a / b if a is not None and b else None for a, b in zip(own, other, strict=True)])
