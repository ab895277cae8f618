"""The tables of a search, one for what was measured in turn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from luxe.console import output, table
from luxe_bench.tune.choice import GAIN, Measured, ratio, ratios
from luxe_bench.tune.search import Found, Stage
from luxe_bench.tune.trial import CALLERS

__all__ = ["show"]

_COLUMNS = (">engines", ">batch", ">delay µs", ">requests/s", ">CPU s", "× first", ">p50 ms", ">p95 ms", ">p99 ms")


def show(found: Found, facts: Mapping[str, Any]) -> None:
    """Print what each setting did, and which one won."""
    rate = facts["slo"]["requests_per_s"]
    output.print(f"engines: instances × threads; requests/s, CPU seconds of 1,000 texts: {CALLERS} callers, medians")
    output.print("× first: requests/s over those of the first row, median and range of the rounds")
    output.print(rf"p50, p95, p99, \[slo]: {rate:g} requests/s on a schedule")
    for stage in found.stages:
        output.print(f"\n[italic]{stage.name}[/]")
        rows = table(*_COLUMNS, r"\[slo]", "")
        for one in stage.measured:
            rows.add_row(*_row(one, stage), _mark(one, stage, found))
        output.print(rows)
    load, others = f"load before {facts['load_before']}, after {facts['load_after']}", facts["others_share"]
    output.print(f"\n{facts['checked']} answers checked; {facts['cores']} cores of {facts['cpu']}; {load}")
    output.print(
        f"other work took {others['median']:.0%} of the machine, median of all rounds, at most {others['most']:.0%}"
    )
    output.print(_verdict(found))


def _row(one: Measured, stage: Stage) -> list[str]:
    knobs = one.knobs
    return [
        f"{knobs.instances} × {knobs.threads}",
        str(knobs.micro_batch),
        str(knobs.delay_us),
        *map(_number, (one.per_s, one.cpu_s_per_1000)),
        _over(one, stage.current),
        *map(_number, (one.open.p50_ms, one.open.p95_ms, one.open.p99_ms)),
        "[green]met[/]" if one.met else "[red]missed[/]",
    ]


def _over(one: Measured, current: Measured) -> str:
    """Return the ratio and its range over the rounds; nothing for the current one itself."""
    each, middle = ratios(one, current), ratio(one, current)
    return "" if one is current or middle is None else f"{middle:.3f} ({min(each):.2f}–{max(each):.2f})"


def _mark(one: Measured, stage: Stage, found: Found) -> str:
    words = ["catalogue"] if one.knobs == found.start else []
    if one.knobs == found.winner and stage is found.stages[-1]:
        words.append("[bold green]winner[/]")
    elif one.knobs == stage.best:
        words.append("best")
    return ", ".join(words)


def _verdict(found: Found) -> str:
    if found.winner is None:
        return "no setting meets the \\[slo]: [bold red]FAIL[/]"
    if found.winner == found.start:
        return f"nothing is faster by more than {GAIN - 1:.0%}: the catalogue's settings stay"
    return f"winner: [bold]{found.winner}[/]"


def _number(value: float | None) -> str:
    """Return three digits, as tables need them."""
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
