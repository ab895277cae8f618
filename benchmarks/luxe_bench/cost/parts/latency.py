"""Latencies and requests a second by the number of callers, and what is padded at 32 of them."""

from __future__ import annotations

import dataclasses

import numpy as np

from luxe_bench.cost import metrics, padding, servers
from luxe_bench.cost.metrics import Counters
from luxe_bench.cost.rig import Rig
from luxe_bench.cost.statistics import Summary, summary

__all__ = ["CALLERS", "Latency", "latency", "share"]

CALLERS = (1, 8, 32, 128)
_PADDING_CALLERS = 32
_DYNAMIC_BATCH = 32


@dataclasses.dataclass(frozen=True)
class Latency:
    """By number of callers."""

    callers: dict[int, Summary]
    padding_share: float | None
    """Padded tokens over all tokens at 32 callers, by the server's own counters; None where it has none."""
    padding_share_to_the_longest: float | None
    """What dynamic batches of 32 in the same order of arrival would pad."""


def latency(rig: Rig) -> Latency:
    """Load a server in closed loops, fewest callers first."""
    name = rig.entry.name
    found, padded, longest = {}, None, None
    with servers.luxe(rig.repository("latency", [name]), name, rig.scratch / "triton.log") as target:
        for callers in CALLERS:
            texts = rig.texts.take(rig.size)
            counted = callers == _PADDING_CALLERS
            load, grown = rig.closed(target, texts, callers=callers, what=f"{callers} callers", counted=counted)
            found[callers] = summary(load)
            if counted:
                padded = share(grown, name)
                arrival = np.argsort(load.sent_s[load.sent], kind="stable")
                tokens = np.array(rig.reference.tokens(texts))[load.sent][arrival]
                longest = padding.to_the_longest(tokens.tolist(), batch=_DYNAMIC_BATCH)
    return Latency(found, padded, longest)


def share(grown: Counters, model: str) -> float | None:
    """Return the padding share that a server's counters tell; None where it has no such counters."""
    text, padded = (
        metrics.total(grown, "luxe_tokens_total", {"model": model, "kind": kind}) for kind in ("text", "padding")
    )
    # A counter that was never raised is not there: without padding there is one of texts alone.
    return (padded or 0.0) / (text + (padded or 0.0)) if text else None
