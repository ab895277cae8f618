"""Latency against offered load: where the knee is, and what happens beyond it."""

from __future__ import annotations

from pathlib import Path

from luxe_bench.cost.parts.overload import Overload

__all__ = ["write"]

_LINES = (("p99", "p99_ms", "#b3261e"), ("p95", "p95_ms", "#c77700"), ("p50", "p50_ms", "#6b2fb3"))
_GREY = "#6b6875"


def write(found: Overload, folder: Path, *, model: str) -> None:
    """Write ``latency.png`` and ``latency.svg``."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    offered = [step.offered_per_s for step in found.steps]
    ends = []
    for label, key, color in _LINES:
        values = [getattr(step.summary, key) for step in found.steps]
        known = [(x, y) for x, y in zip(offered, values, strict=True) if y is not None]
        if known:
            axes.plot(*zip(*known, strict=True), color=color, marker="o", markersize=4)
            ends.append((known[-1], label, color))
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.set_ylim(low, max(high, found.deadline_ms) * 1.6)
    right = max(offered)
    axes.set_xlim(0, right * 1.08)
    for (x, y), label, color in _apart(ends, axes.get_ylim()):
        axes.annotate(label, (x, y), (8, 0), textcoords="offset points", va="center", color=color, fontweight="bold")
    axes.axhline(found.deadline_ms, color=_GREY, linestyle="--", linewidth=1)
    axes.annotate(
        f"deadline {found.deadline_ms:g} ms", (0, found.deadline_ms), (6, 4), textcoords="offset points", color=_GREY
    )
    axes.axvline(found.capacity_per_s, color=_GREY, linestyle=":", linewidth=1)
    axes.annotate(
        f"capacity {found.capacity_per_s:.0f}/s",
        (found.capacity_per_s, axes.get_ylim()[0]),
        (5, 6),
        textcoords="offset points",
        color=_GREY,
    )
    axes.set_xlabel("offered, requests/s")
    axes.set_ylabel("latency from when a request was due, ms")
    axes.set_title(f"{model}: latency of answers, requests sent on a schedule", loc="left")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    for kind in ("png", "svg"):
        figure.savefig(folder / f"latency.{kind}", dpi=130)


def _apart(
    ends: list[tuple[tuple[float, float], str, str]], limits: tuple[float, float]
) -> list[tuple[tuple[float, float], str, str]]:
    """Move labels of lines that end close together up, so that none covers another; the axis is logarithmic."""
    step = (limits[1] / limits[0]) ** 0.05
    placed: list[tuple[tuple[float, float], str, str]] = []
    for (x, y), label, color in sorted(ends, key=lambda end: end[0][1]):
        if placed:
            y = max(y, placed[-1][0][1] * step)
        placed.append(((x, y), label, color))
    return placed
