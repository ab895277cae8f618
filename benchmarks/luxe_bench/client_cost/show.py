"""The tables of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from luxe.console import output, table
from luxe_bench.client_cost.calls import Calls
from luxe_bench.client_cost.stream import STREAM, Stream
from luxe_bench.verdict import Check

__all__ = ["show"]


def show(called: Sequence[Calls], streamed: Stream | None, checks: Sequence[Check], facts: Mapping[str, Any]) -> None:
    """Print what was found, and the verdict."""
    output.print(f"[italic]processor time of a call, medians of {facts['rounds']} rounds[/]")
    rows = table("", ">callers", ">luxe µs", ">tritonclient µs", ">ratio", ">middle half")
    for one in called:
        luxe, other = (f"{np.median(own):.0f}" for own in (one.luxe_us, one.tritonclient_us))
        rows.add_row(one.shell, str(one.callers), luxe, other, f"{one.ratio:.2f}", _half(one.ratios))
    output.print(rows)
    if streamed:
        _show_stream(streamed, facts)
    output.print()
    rows = table("target", ">measured", "", ">wanted", "")
    for check in checks:
        mark = "[green]met[/]" if check.met else "[red]missed[/]"
        rows.add_row(
            check.name,
            "not measured" if check.measured is None else f"{check.measured:.3g}",
            check.relation,
            f"{check.target:g}",
            mark,
        )
    output.print(rows)
    word = "[bold green]PASS[/]" if all(check.met for check in checks) else "[bold red]FAIL[/]"
    load = f"load before {facts['load_before']}, after {facts['load_after']}"
    output.print(f"{facts['cores']} cores of {facts['cpu']}; {load}: {word}")


def _show_stream(streamed: Stream, facts: Mapping[str, Any]) -> None:
    output.print(f"\n[italic]{streamed.texts_a_round} texts a round, medians of {facts['rounds']} rounds[/]")
    rows = table("", ">texts/s", ">CPU µs a text", f">{STREAM} over it", ">middle half")
    for name, per_s in streamed.per_s.items():
        own = "" if name == STREAM else f"{streamed.ratio(name):.2f}"
        half = "" if name == STREAM else _half(streamed.ratios(name))
        rows.add_row(name, f"{np.median(per_s):.0f}", f"{np.median(streamed.client_cpu_us[name]):.0f}", own, half)
    output.print(rows)


def _half(values: Sequence[float]) -> str:
    """Return between which values the middle half lies."""
    low, high = np.percentile(values, [25, 75])
    return f"{low:.2f} to {high:.2f}"
