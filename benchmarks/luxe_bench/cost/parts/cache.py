"""What the server's cache of answers brings where people repeat themselves."""

from __future__ import annotations

import dataclasses

from luxe_bench.cost import copies, metrics, servers
from luxe_bench.cost.metrics import Counters
from luxe_bench.cost.rig import Rig
from luxe_bench.cost.statistics import Summary, summary
from luxe_bench.cost.workload import zipf

__all__ = ["Cache", "cache", "hit_rate"]

_DISTINCT, _EXPONENT = 1000, 1.1
_CALLERS = 32
_SETTING = "cache_bytes"


@dataclasses.dataclass(frozen=True)
class Cache:
    """The same texts with and without it."""

    with_cache: Summary
    without: Summary
    hit_rate: float | None
    """Hits over look-ups, by the server's own counters; None where it has none."""


def cache(rig: Rig) -> Cache | None:
    """Send repeated texts to a server with the published cache and to one without; None where the model has none."""
    name = rig.entry.name
    if not copies.settings(rig.source, rig.manifest).get(_SETTING):
        return None
    known = rig.texts.take(_DISTINCT)
    repeated = [known[i] for i in zipf(_DISTINCT, rig.size, exponent=_EXPONENT)]
    found = []
    for folder, change in (("cache", {}), ("no-cache", {_SETTING: 0})):
        repository = copies.copy(rig.source, rig.manifest, [name], rig.scratch / folder, change=change)
        with servers.luxe(repository, name, rig.scratch / "triton.log") as target:
            what = f"repeated texts: {folder}"
            found.append(rig.closed(target, repeated, callers=_CALLERS, what=what, counted=True))
    (load, grown), (plain, _) = found
    return Cache(summary(load), summary(plain), hit_rate(grown, name))


def hit_rate(grown: Counters, model: str) -> float | None:
    """Return hits over look-ups, as a server's counters tell; None where it has no such counters."""
    # A counter that was never raised is not there.
    hits, misses = (metrics.total(grown, f"luxe_cache_{kind}_total", {"model": model}) for kind in ("hits", "misses"))
    looked_up = (hits or 0.0) + (misses or 0.0)
    return (hits or 0.0) / looked_up if looked_up else None
