"""Every setting by what it can do and what its callers wait for."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from luxe_bench.tune.choice import ratio
from luxe_bench.tune.knobs import Knobs
from luxe_bench.tune.search import FINAL, Found

__all__ = ["Point", "points", "spread", "write"]

_WINNER, _CURRENT, _OTHER, _MISSED, _GREY = "#1b7a3d", "#6b2fb3", "#8d8a99", "#b3261e", "#6b6875"
_LABEL_SHARE = 0.055
"""Of the picture's height, from one label to the next."""
_LABELS_X = 1.03
"""Where the labels stand, in widths of the axes."""


@dataclasses.dataclass(frozen=True)
class Point:
    """One setting."""

    knobs: Knobs
    per_s: float
    p99_ms: float
    met: bool


def points(found: Found) -> list[Point]:
    """Return the settings that answered, each once.

    Figures of different comparisons are not compared: a setting's requests/s are the start's, times what it was above
    the current one in its comparison, times what that one was above the one before. The final check counts more than
    the comparison that led to it.
    """
    speed = {found.start: found.stages[0].current.per_s or 0.0}
    for stage in sorted(found.stages, key=lambda stage: stage.name != FINAL):
        for one in stage.measured:
            over = ratio(one, stage.current)
            if over is not None:
                speed.setdefault(one.knobs, speed[stage.current.knobs] * over)
    taken = {one.knobs: one for stage in found.stages for one in stage.measured}  # the newest open loop
    return [
        Point(knobs, speed[knobs], one.open.p99_ms, one.met)
        for knobs, one in taken.items()
        if knobs in speed and one.open.p99_ms is not None
    ]


def write(found: Found, folder: Path, *, model: str, p99_ms: float, requests_per_s: float) -> None:
    """Write ``tune.png`` and ``tune.svg``.

    Args:
        p99_ms: of the `[slo]`.
        requests_per_s: of the `[slo]`.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    figure = Figure(figsize=(11, 5.5))
    axes = figure.subplots()
    figure.subplots_adjust(left=0.07, right=0.74, top=0.91, bottom=0.11)
    shown = points(found)
    axes.set_yscale("log")
    heights = [p99_ms, *(point.p99_ms for point in shown)]
    axes.set_ylim(min(heights) / 1.6, max(heights) * 1.6)
    speeds = [point.per_s for point in shown] or [1.0]
    margin = 0.08 * max(max(speeds) - min(speeds), 0.1 * max(speeds))
    axes.set_xlim(min(speeds) - margin, max(speeds) + margin)
    axes.axhline(p99_ms, color=_GREY, linestyle="--", linewidth=1)
    axes.annotate(
        f"[slo] p99 {p99_ms:g} ms",
        (axes.get_xlim()[0], p99_ms),
        (6, 7),
        textcoords="offset points",
        color=_GREY,
        bbox={"color": "white", "pad": 1},
    )
    _draw(axes, shown, found)
    axes.set_xlabel("requests/s at 32 callers, compared round by round")
    axes.set_ylabel(f"p99 at {requests_per_s:g} requests/s, ms")
    axes.set_title(f"{model}: instances × threads, micro-batch, queue delay", loc="left")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    for kind in ("png", "svg"):
        figure.savefig(folder / f"tune.{kind}", dpi=130)


def spread(heights: Sequence[float], *, least: float) -> list[float]:
    """Return places for labels, as near their points as they can be, `least` apart, within 0 to 1 where they fit.

    Args:
        heights: of the points, from the lowest to the highest.
    """
    placed: list[float] = []
    for height in heights:
        placed.append(max(height, placed[-1] + least) if placed else max(0.0, height))
    top = 1.0
    for i in reversed(range(len(placed))):  # those that were pushed out of the top push back
        placed[i] = min(placed[i], top)
        top = placed[i] - least
    return placed


def _draw(axes: Any, shown: Sequence[Point], found: Found) -> None:
    """Draw points, and their labels in a column beside them, each at the end of a line, so that none covers another."""
    ordered = sorted(shown, key=lambda point: (point.p99_ms, point.per_s))
    to_share = axes.transScale + axes.transLimits
    heights = [float(to_share.transform((point.per_s, point.p99_ms))[1]) for point in ordered]
    for point, place in zip(ordered, spread(heights, least=_LABEL_SHARE), strict=True):
        words, color = _words(point, found)
        bold = color in (_WINNER, _CURRENT)
        axes.plot(
            point.per_s,
            point.p99_ms,
            color=color,
            marker="o" if point.met else "X",
            markersize=9 if bold else 6,
            linestyle="none",
            zorder=3,
        )
        axes.annotate(
            words,
            (point.per_s, point.p99_ms),
            (_LABELS_X, place),
            textcoords="axes fraction",
            va="center",
            color=color,
            fontsize=9,
            fontweight="bold" if bold else "normal",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": color, "linewidth": 0.6, "alpha": 0.6, "relpos": (0, 0.5)},
        )


def _words(point: Point, found: Found) -> tuple[str, str]:
    """Return a point's label and its colour."""
    roles, color = [], _OTHER if point.met else _MISSED
    if point.knobs == found.start:
        roles, color = ["catalogue"], _CURRENT
    if point.knobs == found.winner:
        roles, color = [*roles, "winner"], _WINNER
    one = point.knobs
    words = f"{one.instances} × {one.threads}, {one.micro_batch}, {one.delay_us} µs"
    return (f"{words} ({', '.join(roles)})" if roles else words), color
