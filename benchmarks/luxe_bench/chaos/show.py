"""The tables of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from luxe.console import output, table
from luxe_bench.chaos.figures import Figures
from luxe_bench.verdict import Check

__all__ = ["show"]


def show(found: Sequence[Figures], checks: Sequence[Check], facts: Mapping[str, Any]) -> None:
    """Print the figures of each phase, what failed, and the verdict."""
    columns = (
        ">s",
        ">events",
        ">calls",
        ">failed",
        ">wrong",
        ">unsent",
        ">tries/call",
        ">p50 ms",
        ">p99 ms",
        ">most ms",
    )
    rows = table("", *columns, title=f"{facts['servers']} servers, {facts['rate']:g} calls/s, {facts['client']}")
    for one in found:
        rows.add_row(
            one.name,
            f"{one.seconds:.0f}",
            *(str(count) for count in (one.events, one.calls, one.failed, one.wrong, one.unsent)),
            "-" if one.tries_a_call is None else f"{one.tries_a_call:.3f}",
            *("-" if ms is None else f"{ms:.0f}" for ms in (one.p50_ms, one.p99_ms, one.most_ms)),
        )
    output.print(rows)
    for one in found:
        if len(one.versions) > 1:
            counts = ", ".join(f"{count} of version {version}" for version, count in one.versions.items())
            output.print(f"answers in {one.name}: {counts}")
    for error, count in found[-1].errors.items():
        output.print(f"failed: {count} {error}")
    for check in checks:
        if not check.met:
            measured = "-" if check.measured is None else f"{check.measured:.4g}"
            output.print(f"[red]missed[/] {check.name}: {measured}, wanted {check.relation} {check.target:g}")
    word = "[bold green]PASS[/]" if all(check.met for check in checks) else "[bold red]FAIL[/]"
    output.print(
        f"on {facts['cores']} cores of {facts['cpu']}; load before {facts['load_before']}, after "
        f"{facts['load_after']}: {word}"
    )
