"""What is counted about a model, gathered here and handed on from time to time.

A call of Triton's metrics costs a message between two processes, which is too much for every text. So numbers are added
up here, and `drain` returns what has come since the last time. Histograms are counters of the same names as Prometheus'
own (``_bucket`` with ``le``, ``_sum``, ``_count``), so they add up over replicas and `histogram_quantile` reads them.
"""

from __future__ import annotations

import bisect
import threading
from collections import defaultdict

__all__ = ["FAMILIES", "Metrics", "Series"]

Series = tuple[str, tuple[tuple[str, str], ...]]
"""Name of a counter, and its labels besides the model's."""

_SECONDS = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096)
_SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
_HISTOGRAMS = {
    "luxe_queue_seconds": (_SECONDS, "Seconds that a text waited for an engine instance"),
    "luxe_tokenize_seconds": (_SECONDS, "Seconds of tokenising the requests that arrived together"),
    "luxe_engine_seconds": (_SECONDS, "Seconds of a micro-batch in the engine"),
    "luxe_request_seconds": (_SECONDS, "Seconds from taking a request to its answer"),
    "luxe_micro_batch_size": (_SIZES, "Rows of a micro-batch"),
}
_COUNTERS = {
    "luxe_texts_total": "Texts that were answered",
    "luxe_tokens_total": "Tokens that the engine was given, by kind: of texts, or padding",
    "luxe_truncated_texts_total": "Answered texts that were longer than max_length",
    "luxe_review_texts_total": "Answered texts that a person should look at",
    "luxe_cache_hits_total": "Rows that had been answered before",
    "luxe_cache_misses_total": "Rows that had not",
    "luxe_refusals_total": "Requests that were refused, by reason",
}
FAMILIES = {
    **_COUNTERS,
    **{f"{name}{part}": about for name, (_, about) in _HISTOGRAMS.items() for part in ("_bucket", "_sum", "_count")},
}
"""Every counter's name and what it is."""


class Metrics:
    """Sums of one model. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sums: dict[Series, float] = defaultdict(float)
        self._buckets: dict[tuple[str, int], int] = defaultdict(int)  # by the histogram and the bound's number
        self._totals: dict[str, float] = defaultdict(float)

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to a counter."""
        if amount:
            with self._lock:
                self._sums[name, tuple(labels.items())] += amount

    def observe(self, name: str, value: float) -> None:
        """Add a value to a histogram."""
        bucket = name, bisect.bisect_left(_HISTOGRAMS[name][0], value)
        with self._lock:
            self._buckets[bucket] += 1
            self._totals[name] += value

    def drain(self) -> dict[Series, float]:
        """Return what was added since the last call, a histogram's buckets each with those below it."""
        with self._lock:
            sums, self._sums = self._sums, defaultdict(float)
            buckets, self._buckets = self._buckets, defaultdict(int)
            totals, self._totals = self._totals, defaultdict(float)
        for (name, first), times in buckets.items():
            bounds = _HISTOGRAMS[name][0]
            for number, bound in enumerate((*bounds, "+Inf")):
                # Nothing is added to those below, but they must be there: a quantile is looked for between two.
                sums[f"{name}_bucket", (("le", str(bound)),)] += times * (number >= first)
            sums[f"{name}_count", ()] += times
        for name, total in totals.items():
            sums[f"{name}_sum", ()] += total
        return dict(sums)
