"""The latency of every call over time, by the server that answered, with what was done to the servers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from luxe_bench.chaos.calls import OK, Call, Event, Phase

__all__ = ["write"]

_COLORS = ("#6b2fb3", "#1b7f9e", "#c77700")
_LEAST_MS = 1.0
_RED, _GREY = "#b3261e", "#6b6875"


def write(
    folder: Path, calls: Sequence[Call], phases: Sequence[Phase], events: Sequence[Event], servers: Sequence[str]
) -> None:
    """Write ``calls.png`` and ``calls.svg``.

    Args:
        servers: addresses, at most three.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    figure = Figure(figsize=(13, 6), layout="constrained")
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(5, 1))
    for number, (address, color) in enumerate(zip(servers, _COLORS, strict=False)):
        answered = [call for call in calls if call.outcome == OK and call.replica == address]
        axes.scatter(
            [call.due_s for call in answered],
            [call.latency_ms for call in answered],
            s=6,
            linewidths=0,
            color=color,
            label=f"server {number + 1}",
        )
        happened = [event.at_s for event in events if event.replica == address]
        below.scatter(happened, [number + 1] * len(happened), marker="|", s=160, color=color)
    bad = [call for call in calls if call.outcome != OK or call.wrong]
    if bad:
        took = [((call.done_s or call.due_s) - call.due_s) * 1e3 for call in bad]
        axes.scatter(
            [c.due_s for c in bad], [max(_LEAST_MS, ms) for ms in took], marker="x", color=_RED, label="failed"
        )
    axes.set_yscale("log")
    axes.set_ylim(_LEAST_MS, 1.3 * max((call.latency_ms or 0.0 for call in calls), default=0.0) + 10 * _LEAST_MS)
    for phase in phases:
        for one in (axes, below):
            one.axvspan(phase.begin_s, phase.end_s, color=_GREY, alpha=0.12, linewidth=0)
        middle = (phase.begin_s + phase.end_s) / 2
        axes.text(middle, 1.01, phase.name, transform=axes.get_xaxis_transform(), ha="center", va="bottom")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylabel("latency from when a call was due, ms")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, markerscale=2)
    below.set_ylim(len(servers) + 0.6, 0.4)
    below.set_yticks(range(1, len(servers) + 1))
    below.set(xlabel="s", ylabel="events by\nserver")
    for one in (axes, below):
        one.spines[["top", "right"]].set_visible(False)
        one.grid(alpha=0.25)
        one.set_xlim(left=0)
    for kind in ("png", "svg"):
        figure.savefig(folder / f"calls.{kind}", dpi=130)
