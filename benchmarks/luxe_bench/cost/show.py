"""The tables of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table

from luxe.console import output, table
from luxe_bench.cost.parts.cache import Cache
from luxe_bench.cost.parts.latency import Latency
from luxe_bench.cost.parts.memory import Memory
from luxe_bench.cost.parts.neighbours import Neighbours
from luxe_bench.cost.parts.overload import Overload
from luxe_bench.cost.parts.ratio import ENGINE, FASTAPI, LUXE, TUNED, Ratio
from luxe_bench.cost.statistics import Summary, median
from luxe_bench.cost.targets import Results
from luxe_bench.verdict import Check

__all__ = ["show"]

_PLAIN = {
    LUXE: "luxe",
    FASTAPI: "FastAPI as one would write it: default session, 1 worker",
    TUNED: "FastAPI tuned: --threads 1, a worker a core",
}
_SUMMARY = (">requests/s", ">p50 ms", ">p95 ms", ">p99 ms", ">CPU s/1000", ">generator", ">unanswered")


def show(results: Results, checks: Sequence[Check], facts: Mapping[str, Any], asked: Sequence[str]) -> None:
    """Print what each part found, and the verdict."""
    for title, rows in _tables(results):
        output.print(f"[italic]{title}[/]")  # a title in the table would fold where that is narrow
        output.print(rows)
        output.print()
    if "cache" in asked and results.cache is None:
        output.print("cache: not measured, this version is published without one\n")
    rows = table("target", ">measured", "", ">wanted", "")
    for check in checks:
        mark = "[green]met[/]" if check.met else "[red]missed[/]"
        measured = "not exported" if check.measured is None else f"{check.measured:.3g}"
        rows.add_row(check.name, measured, check.relation, f"{check.target:g}", mark)
    output.print(rows)
    word = "[bold green]PASS[/]" if all(check.met for check in checks) else "[bold red]FAIL[/]"
    load = f"load before {facts['load_before']}, after {facts['load_after']}"
    output.print(f"{results.checked} answers checked; {facts['cores']} cores of {facts['cpu']}; {load}: {word}")


def _tables(results: Results) -> Iterator[tuple[str, Table]]:
    if results.ratio:
        yield from _of_ratio(results.ratio)
    if results.latency:
        yield from _of_latency(results.latency)
    if results.overload:
        yield _of_overload(results.overload)
    if results.memory:
        yield _of_memory(results.memory)
    if results.cache:
        yield _of_cache(results.cache)
    if results.neighbours:
        yield _of_neighbours(results.neighbours)


def _of_ratio(found: Ratio) -> Iterator[tuple[str, Table]]:
    title = f"32 callers, medians of {found.rounds} rounds of {found.texts_a_round} texts"
    rows = table("", ">requests/s", ">p50 ms", ">p95 ms", ">CPU s/1000", ">generator")
    batch = f"{ENGINE}, in process: length-sorted batches of {found.engine_batch}"
    rows.add_row(batch, "", "", "", _number(found.engine_cpu_s_per_1000), "")
    for name, own in found.servers.items():
        rows.add_row(
            _PLAIN[name],
            *(_of_rounds(own, key) for key in ("per_s", "p50_ms", "p95_ms", "cpu_s_per_1000")),
            _of_rounds(own, "generator_cpu_s_per_1000"),
        )
    yield title, rows
    rows = table("", ">p50 ms", ">p95 ms")
    rows.add_row(f"{ENGINE}, in process", _number(found.engine_alone_ms), "")
    rows.add_row("of that without tokenisation", _number(found.engine_alone_without_tokens_ms), "")
    for name, own in found.one_caller.items():
        rows.add_row(_PLAIN[name], _of_rounds(own, "p50_ms"), _of_rounds(own, "p95_ms"))
    yield "1 caller", rows


def _of_latency(found: Latency) -> Iterator[tuple[str, Table]]:
    rows = table(">callers", *_SUMMARY)
    for callers, one in found.callers.items():
        rows.add_row(str(callers), *_figures(one))
    yield "closed loops", rows
    rows = table("", ">share")
    rows.add_row("luxe", "not exported" if found.padding_share is None else f"{found.padding_share:.1%}")
    longest = found.padding_share_to_the_longest
    rows.add_row("dynamic batches of 32, each to its longest", "-" if longest is None else f"{longest:.1%}")
    yield "padded tokens of all tokens, 32 callers", rows


def _of_overload(found: Overload) -> tuple[str, Table]:
    title = (
        f"open loops: capacity {found.capacity_per_s:.0f}/s (closed loop, {found.capacity_callers} callers), "
        f"deadline {found.deadline_ms:g} ms"
    )
    columns = (">of cap.", ">offered/s", ">in time/s", ">p50 ms", ">p95 ms", ">p99 ms", ">refused")
    rows = table(*columns, ">p95 ms", ">max ms", ">timed out", ">sent late")
    for step in found.steps:
        rows.add_row(
            f"{step.share:g}",
            f"{step.offered_per_s:.0f}",
            f"{step.in_time_per_s:.0f}",
            *(_number(value) for value in (step.summary.p50_ms, step.summary.p95_ms, step.summary.p99_ms)),
            str(step.refused),
            *(_number(value) for value in (step.refusal_p95_ms, step.refusal_max_ms)),
            str(step.timed_out),
            str(step.sent_late),
        )
    return title, rows


def _of_memory(found: Memory) -> tuple[str, Table]:
    rows = table(">models", ">start s", ">PSS MB")
    for count, one in found.models.items():
        rows.add_row(str(count), f"{one.start_s:.1f}", f"{one.proportional_bytes / 1e6:.0f}")
    return "a server that has just started", rows


def _of_cache(found: Cache) -> tuple[str, Table]:
    hits = "unknown" if found.hit_rate is None else f"{found.hit_rate:.1%}"
    rows = table("", *_SUMMARY)
    rows.add_row("with the published cache", *_figures(found.with_cache))
    rows.add_row("without", *_figures(found.without))
    return f"repeated texts (Zipf), 32 callers; hit rate {hits}", rows


def _of_neighbours(found: Neighbours) -> tuple[str, Table]:
    rows = table("", ">requests/s", ">p50 ms", ">p95 ms", ">p99 ms", ">unanswered")
    for name, one in (
        ("quiet, 20 requests/s, alone", found.alone),
        ("quiet, beside the flood", found.beside),
        ("flooded, 64 callers", found.flood),
    ):
        values = (one.per_s, one.p50_ms, one.p95_ms, one.p99_ms)
        rows.add_row(name, *map(_number, values), str(one.requests - one.answered))
    return "two models in one server", rows


def _figures(one: Summary) -> list[str]:
    values = (one.per_s, one.p50_ms, one.p95_ms, one.p99_ms, one.cpu_s_per_1000, one.generator_cpu_s_per_1000)
    return [*map(_number, values), str(one.requests - one.answered)]


def _of_rounds(rounds: Sequence[Summary], key: str) -> str:
    return _number(median([getattr(one, key) for one in rounds]))


def _number(value: float | None) -> str:
    """Return three digits, as tables need them."""
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
