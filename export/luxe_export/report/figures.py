"""The pictures, as SVG that needs nothing from outside: text as outlines, no dates, names that do not change."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from luxe_export.report import labels
from luxe_export.report.labels import Box

__all__ = ["quality_and_speed", "reliability"]

_ACCENT, _PASSES, _FAILS, _QUIET, _INK = "#6b2fb3", "#3d6b8e", "#b3261e", "#6b6875", "#1c1b22"
_WIDTH, _HEIGHT = 690.0, 420.0
_MARGINS = {"left": 0.095, "right": 0.985, "bottom": 0.14, "top": 0.9}
_FAR = 3.0
"""Candidates worse than PyTorch by so many of its interval's widths are drawn at the edge: the others count."""
_Z = 1.96


def quality_and_speed(facts: Mapping[str, Any]) -> str | None:
    """Return the metric of each candidate against its time, as a data URI; None when none was timed."""
    drawn = [c for c in facts["candidates"] if c["latency"] and c["measurement"]]
    drawn = [c for c in drawn if c["measurement"]["metric"] is not None]
    if not drawn:
        return None
    relative = all(c["latency"]["ratio"] is not None for c in drawn)
    times = [c["latency"]["ratio" if relative else "ms_per_text"] for c in drawn]
    original, quality = facts["pytorch"]["metric"], facts["quality"]
    bound = None if original is None else max(original - quality["max_metric_drop"], quality["min_metric"])
    with _style():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        # 72 dpi: a pixel is a point, in which labels are placed.
        figure = Figure(figsize=(_WIDTH / 72, _HEIGHT / 72), dpi=72)
        canvas = FigureCanvasAgg(figure)
        figure.subplots_adjust(**_MARGINS)
        axes = figure.subplots()
        low, high = _heights(drawn, original, bound)
        axes.set_xlim(*_widths(times))
        axes.set_ylim(low, high)
        axes.set_xlabel("time of a text, relative to fp32" if relative else "time of a text, ms")
        axes.set_ylabel(facts["metric_name"], parse_math=False)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.2, linewidth=0.6)
        lines = []
        if original is not None:
            axes.axhline(original, color=_INK, linewidth=1)
            lines.append(original)
        if bound is not None and bound > low:
            axes.axhline(bound, color=_FAILS, linewidth=0.8, linestyle=(0, (4, 3)))
            lines.append(bound)
        marks = [_mark(axes, c, facts["winner"], time, low) for c, time in zip(drawn, times, strict=True)]
        _name(axes, canvas, marks, lines)
        kinds = {_kind(c, facts["winner"]) for c in drawn}
        _legend(axes, kinds, original=original is not None, least=bound in lines)
        return _data_uri(figure)


def reliability(
    before: Sequence[Mapping[str, Any]] | None, after: Sequence[Mapping[str, Any]] | None, name: str
) -> str | None:
    """Return two reliability diagrams side by side, as a data URI; None where answers are no probabilities.

    Args:
        before: PyTorch's bins: mean confidence, share that is right, count.
        after: the candidate's.
        name: the candidate's.
    """
    sides = [(title, bins) for title, bins in (("PyTorch", before), (name, after)) if bins]
    if not sides:
        return None
    seen = [b[key] for _, bins in sides for b in bins for key in ("confidence", "accuracy")]
    low = max(0.0, math.floor(10 * min(seen)) / 10 - 0.1)
    with _style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(_WIDTH / 72, 330 / 72), dpi=72, layout="constrained")
        for axes, (title, bins) in zip(figure.subplots(1, 2, squeeze=False)[0], sides, strict=False):
            axes.plot([0, 1], [0, 1], color=_QUIET, linewidth=0.9, linestyle=(0, (4, 3)))
            color = _INK if title == "PyTorch" else _ACCENT
            x, y = [b["confidence"] for b in bins], [b["accuracy"] for b in bins]
            spread = [_wilson(b["accuracy"], b["count"]) for b in bins]
            axes.vlines(x, [s[0] for s in spread], [s[1] for s in spread], color=color, alpha=0.3, linewidth=1.4)
            axes.plot(x, y, color=color, linewidth=1.4, marker="o", markersize=5)
            axes.set(xlim=(low, 1.02), ylim=(low, 1.02), xlabel="what the model claims", aspect="equal")
            axes.set_ylabel("share that is right")
            axes.set_title(f"{title}: {_counts(bins)}", parse_math=False)
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(alpha=0.2, linewidth=0.6)
        for axes in figure.axes[len(sides) :]:
            axes.set_visible(False)
        return _data_uri(figure)


def _heights(drawn: Sequence[Mapping[str, Any]], original: float | None, bound: float | None) -> tuple[float, float]:
    """Return the limits of y: PyTorch, what is not far below it and a bound above them, with room for labels."""
    spans = [(*c["measurement"]["metric_interval"], c["measurement"]["metric"]) for c in drawn]
    spans = [(m if low is None else low, m if high is None else high, m) for low, high, m in spans]
    level = max(m for *_, m in spans) if original is None else original
    widest = max(0.02, max((high - low for low, high, m in spans if m >= level - 0.05), default=0.1))
    near = [span for span in spans if span[2] >= level - _FAR * widest]
    bottom = min([level, *(low for low, *_ in near)])
    top = max([level, level if bound is None else bound, *(high for _, high, _ in near)])
    room = 0.16 * max(top - bottom, 1e-3)
    return bottom - room, top + room


def _widths(times: Sequence[float]) -> tuple[float, float]:
    """Return the limits of x: all times, with room for labels; most candidates have theirs on the left."""
    room = max(max(times) - min(times), 0.1 * max(times))
    return max(0.0, min(times) - 0.55 * room), max(times) + 0.3 * room


def _kind(candidate: Mapping[str, Any], winner: str | None) -> str:
    if candidate["candidate"] == winner:
        return "wins"
    return "refused" if candidate["findings"] else "passes"


_STYLES: dict[str, dict[str, Any]] = {
    "wins": {"marker": "*", "markersize": 19, "color": _ACCENT, "zorder": 6},
    "passes": {"marker": "o", "markersize": 8, "color": _PASSES, "zorder": 5},
    "refused": {"marker": "o", "markersize": 8, "color": _FAILS, "markerfacecolor": "white", "zorder": 4},
}


class _Mark(NamedTuple):
    """A candidate in the picture; places in points."""

    label: str
    wins: bool
    point: labels.Point
    bar: Box | None
    """Its error bar; None for one that is drawn at the edge."""


def _mark(axes: Any, candidate: Mapping[str, Any], winner: str | None, time: float, low: float) -> _Mark:
    """Draw a candidate, at the edge if it is below ``low``."""
    name, m, kind = candidate["candidate"], candidate["measurement"], _kind(candidate, winner)
    style, transform, metric = _STYLES[kind], axes.transData.transform, m["metric"]
    if metric < low:
        style = style | {"marker": "v", "clip_on": False}
        axes.plot([time], [low], linestyle="none", markeredgewidth=1.6, **style)
        return _Mark(f"{name} ({metric:.2f})", False, tuple(transform((time, low))), None)
    ends = (metric, metric) if None in m["metric_interval"] else m["metric_interval"]
    axes.vlines([time], *ends, color=style["color"], alpha=0.45, linewidth=1.4, zorder=3)
    axes.plot([time], [metric], linestyle="none", markeredgewidth=1.6, **style)
    x, y = transform((time, metric))
    bottom, top = (transform((time, end))[1] for end in ends)
    label = f"{name}, the winner" if kind == "wins" else name
    return _Mark(label, kind == "wins", (x, y), Box(x - 2, bottom, x + 2, top))


def _name(axes: Any, canvas: Any, marks: Sequence[_Mark], lines: Sequence[float]) -> None:
    """Write the candidates' names where there is room, beside the lines that cross the picture at these heights."""
    from matplotlib.lines import Line2D
    from matplotlib.patheffects import withStroke
    from matplotlib.transforms import IdentityTransform

    pixels, renderer = IdentityTransform(), canvas.get_renderer()
    marks = sorted(marks, key=lambda mark: not mark.wins)  # the winner's name chooses first
    texts = [
        axes.text(
            0,
            0,
            mark.label,
            transform=pixels,
            va="bottom",
            fontweight="bold" if mark.wins else "normal",
            color=_ACCENT if mark.wins else _INK,
            path_effects=[withStroke(linewidth=3, foreground="white")],
            parse_math=False,
            zorder=8,
        )
        for mark in marks
    ]
    extents = [text.get_window_extent(renderer) for text in texts]
    frame = axes.get_window_extent(renderer)
    crossing = [axes.transData.transform((0, y))[1] for y in lines]
    boxes = labels.place(
        [mark.point for mark in marks],
        [(extent.width + 4, extent.height + 3) for extent in extents],
        [mark.bar for mark in marks if mark.bar] + [Box(frame.x0, y - 1.5, frame.x1, y + 1.5) for y in crossing],
        Box(frame.x0 + 2, frame.y0 + 2, _WIDTH - 4, frame.y1 - 2),
    )
    for text, mark, box in zip(texts, marks, boxes, strict=True):
        text.set_position((box.left + 2, box.bottom + 1))
        far = labels.line(mark.point, box)
        if far:
            axes.add_artist(Line2D(*zip(*far, strict=True), transform=pixels, color=_QUIET, linewidth=0.7, zorder=2))


def _legend(axes: Any, kinds: set[str], *, original: bool, least: bool) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], linestyle="none", markeredgewidth=1.6, label=kind, **{**style, "markersize": 8})
        for kind, style in _STYLES.items()
        if kind in kinds
    ]
    if original:
        handles.append(Line2D([], [], color=_INK, linewidth=1, label="PyTorch"))
    if least:
        dashes = (0, (4, 3))
        handles.append(Line2D([], [], color=_FAILS, linewidth=0.8, linestyle=dashes, label="least that passes"))
    axes.legend(
        handles=handles,
        frameon=False,
        fontsize=10.5,
        ncols=len(handles),
        loc="lower left",
        bbox_to_anchor=(-0.01, 1.0),
        borderpad=0,
    )


def _counts(bins: Sequence[Mapping[str, Any]]) -> str:
    counts = sorted({b["count"] for b in bins})
    each = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"{len(bins)} bins of {each} answers"


def _wilson(share: float, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of so many."""
    middle = (share + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    half = _Z * math.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2)) / (1 + _Z**2 / count)
    return middle - half, middle + half


@contextmanager
def _style() -> Iterator[None]:
    """Matplotlib as it comes, whatever this machine has configured."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(
            {
                "svg.hashsalt": "luxe",
                "svg.fonttype": "path",
                "font.size": 10.5,
                "text.hinting": "none",  # so that a text is as wide in the picture as when it was placed
                "axes.titlesize": 11,
                "axes.edgecolor": _QUIET,
                "axes.labelcolor": _INK,
                "text.color": _INK,
                "xtick.color": _QUIET,
                "ytick.color": _QUIET,
            }
        )
        yield


def _data_uri(figure: Any) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", dpi=72, metadata={"Date": None, "Creator": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue()).decode()}"
