"""Before the first request: every shape on the engine, and a cost model of what that took."""

from __future__ import annotations

import collections
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from luxe_serving.scheduling.cost import CostModel, Run, fit
from luxe_serving.text.padded import PaddedEngine, shapes

__all__ = ["warm_up"]

_LOG = logging.getLogger(__name__)
_PATIENCE_S = 60.0
"""The engine is another model of the server, and may be loaded later."""
_PAUSE_S = 0.05
_TIMED_S = 0.02
"""Of each shape, on each instance. The least time of a shape is the one without disturbance, and the small ones, which
say what a run costs besides its tokens, are disturbed most: they run often."""


def warm_up(
    engine: PaddedEngine,
    *,
    max_length: int,
    max_batch: int,
    instances: int,
    stopped: Callable[[], bool] = lambda: False,
) -> CostModel | None:
    """Run every shape bucket, on all instances at once as under load, and return what a batch costs.

    Args:
        engine: of the model.
        max_length: tokens of the longest row.
        max_batch: rows of the largest batch.
        instances: of the engine.
        stopped: says that nobody will need it any more.

    Returns:
        None when the engine cannot be reached or fails, which requests will say, or when stopped.
    """
    if not _reachable(engine, stopped):
        return None
    buckets = shapes(max_length, max_batch)
    try:
        with ThreadPoolExecutor(instances) as pool:
            rounds = list(pool.map(lambda _: _rounds(engine, buckets, stopped), range(instances)))
    except Exception:
        _LOG.exception("the engine fails in its warm-up")
        return None
    if stopped():
        return None
    least: dict[tuple[int, int], Run] = {}
    for run in (run for of_instance in rounds for run in of_instance):
        shape = run.batch, run.length
        if shape not in least or run.seconds < least[shape].seconds:
            least[shape] = run
    return fit(list(least.values()))


def _rounds(engine: PaddedEngine, buckets: list[tuple[int, int]], stopped: Callable[[], bool]) -> list[Run]:
    runs: list[Run] = []
    taken_s: dict[tuple[int, int], float] = collections.defaultdict(float)
    for shape in buckets:
        if not stopped():
            engine.time(*shape)  # not timed: memory is found, kernels are chosen
    left = buckets
    while left:  # in turn, so that what disturbs for a while disturbs no shape every time
        for shape in left:
            if stopped():
                return runs
            runs.append(engine.time(*shape))
            taken_s[shape] += runs[-1].seconds
        left = [shape for shape in left if taken_s[shape] < _TIMED_S]
    return runs


def _reachable(engine: PaddedEngine, stopped: Callable[[], bool]) -> bool:
    until = time.monotonic() + _PATIENCE_S
    while not stopped():
        try:
            engine.time(1, 1)
            return True
        except Exception:
            if time.monotonic() > until:
                _LOG.exception("the engine gave no answer within %.0f s of the start", _PATIENCE_S)
                return False
            time.sleep(_PAUSE_S)
    return False
