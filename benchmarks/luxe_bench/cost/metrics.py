"""Counters of a server's ``/metrics``, in Prometheus's text format."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Mapping

__all__ = ["Counters", "growth", "parse", "read", "total"]

Counters = dict[tuple[str, frozenset[tuple[str, str]]], float]
"""Value by name and labels."""

_LINE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"')


def read(address: str) -> Counters:
    """Return what a server's metrics port says now."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        return parse(answer.read().decode())


def parse(text: str) -> Counters:
    """Return every sample of the text format; labels are compared as written, escapes included."""
    found = {}
    for line in text.splitlines():
        match = None if line.startswith("#") else _LINE.match(line)
        if match:
            name, labels, value = match.groups()
            found[name, frozenset(_LABEL.findall(labels or ""))] = float(value)
    return found


def growth(before: Counters, after: Counters) -> Counters:
    """Return how far each sample rose."""
    return {key: value - before.get(key, 0.0) for key, value in after.items()}


def total(counters: Counters, name: str, labels: Mapping[str, str]) -> float | None:
    """Return the sum of a counter over all samples that carry these labels; None where the server has none."""
    wanted = set(labels.items())
    values = [value for (own, has), value in counters.items() if own == name and wanted <= has]
    return sum(values) if values else None
