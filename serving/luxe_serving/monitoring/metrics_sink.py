"""Hands what `Metrics` added up to the server's own metrics, every few seconds."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

from luxe_serving.monitoring.metrics import FAMILIES, Metrics, Series

__all__ = ["EVERY_S", "MetricsSink"]

_LOG = logging.getLogger(__name__)
EVERY_S = 2.0
"""Prometheus scrapes every 15 s as a rule; a message for each series that changed is cheap at this rate."""

NewCounter = Callable[[str, str, Mapping[str, str]], Callable[[float], None]]
"""Name, description, labels → what adds to it."""


class MetricsSink:
    """A thread that empties a model's metrics into counters.

    Args:
        metrics: of the model.
        labels: of every counter.
        new_counter: makes a counter of the server.
    """

    def __init__(self, metrics: Metrics, labels: Mapping[str, str], new_counter: NewCounter) -> None:
        self._metrics = metrics
        self._labels = labels
        self._new_counter = new_counter
        self._counters: dict[Series, Callable[[float], None]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Hand on the rest, then stop."""
        self._stop.set()
        self._thread.join()
        self._flush()

    def _run(self) -> None:
        while not self._stop.wait(EVERY_S):
            self._flush()

    def _flush(self) -> None:
        for series, amount in self._metrics.drain().items():
            try:
                if series not in self._counters:
                    name, labels = series
                    self._counters[series] = self._new_counter(name, FAMILIES[name], {**self._labels, **dict(labels)})
                self._counters[series](amount)
            except Exception:  # the others are handed on
                _LOG.exception("%s could not be handed on", series)
