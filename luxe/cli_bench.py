"""The `luxe bench` commands: thin, as those of `luxe.cli`."""

from __future__ import annotations

import enum
from typing import Annotated, Any

import typer
import typer.core

from luxe import catalog
from luxe.cli_options import HERE, LOCAL, AsJson, Name, Root, Server
from luxe.project import Project

__all__ = ["bench"]


class Part(enum.Enum):
    """As `luxe_bench.cost.run.PARTS`."""

    RATIO = "ratio"
    LATENCY = "latency"
    OVERLOAD = "overload"
    MEMORY = "memory"
    CACHE = "cache"
    NEIGHBOURS = "neighbours"


class Phase(enum.Enum):
    """As `luxe_bench.chaos.faults.FAULTS`."""

    KILL = "kill"
    BACKEND = "backend"
    RESTART = "restart"
    UPDATE = "update"
    PAUSE = "pause"


class _Bench(typer.core.TyperGroup):
    """`luxe bench NAME` is `luxe bench load NAME`, so that a model is loaded without another word."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        first = args[0] if args else "--help"
        return super().parse_args(ctx, args if first in (*self.commands, "--help") else ["load", *args])


bench = typer.Typer(
    cls=_Bench,
    no_args_is_help=True,
    rich_markup_mode=None,
    subcommand_metavar="NAME | COMMAND [ARGS]...",
    help="Measure: a running server under load (bench NAME), or what luxe itself costs.",
)


@bench.command("load")
def bench_load(
    name: Name,
    root: Root = HERE,
    address: Server = LOCAL,
    rate: Annotated[
        float | None, typer.Option(min=0.1, help="Requests a second.  [default: the model's [slo]]")
    ] = None,
    duration_s: Annotated[int, typer.Option(min=1, help="Seconds of load.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Load a running server with Locust and hold the latencies against the model's [slo]."""
    from luxe_bench.run import bench

    project = Project.open(root)
    entry = catalog.load(project, name)
    bench(
        project,
        entry,
        address=address,
        rate=rate or entry.slo.requests_per_s,
        duration_s=duration_s,
        as_json=as_json,
    )


@bench.command("export")
def bench_export(root: Root = HERE, as_json: AsJson = False) -> None:
    """Time an export of DistilBERT-base's size, random weights, and hold it against 4 minutes and 6 GB."""
    from luxe_bench.export_cost import bench

    bench(Project.open(root), as_json=as_json)


@bench.command("cost")
def bench_cost(
    name: Name,
    root: Root = HERE,
    part: Annotated[list[Part] | None, typer.Option(help="Only this part; may be repeated.  [default: all]")] = None,
    texts: Annotated[int, typer.Option(min=32, help="Texts of a closed loop.")] = 5000,
    seconds: Annotated[float, typer.Option(min=1, help="Seconds of an open loop.")] = 30,
    as_json: AsJson = False,
) -> None:
    """Start servers and measure what an answer costs, against the engine alone and against FastAPI."""
    from luxe_bench.cost.run import bench

    project = Project.open(root)
    bench(
        project,
        catalog.load(project, name),
        parts=[one.value for one in part or ()],
        texts=texts,
        seconds=seconds,
        as_json=as_json,
    )


@bench.command("client")
def bench_client(
    name: Name,
    root: Root = HERE,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds in which everything is measured in turn.")] = 11,
    calls: Annotated[int, typer.Option(min=100, help="Calls of a round, with each client.")] = 600,
    texts: Annotated[int, typer.Option(min=32, help="Texts of a round, of each way to stream them.")] = 1000,
    as_json: AsJson = False,
) -> None:
    """Measure what luxe_client adds to a call, against tritonclient, and how fast it streams texts."""
    from luxe_bench.client_cost.run import bench

    project = Project.open(root)
    bench(project, catalog.load(project, name), rounds=rounds, count=calls, texts=texts, as_json=as_json)


@bench.command("chaos")
def bench_chaos(
    name: Name,
    root: Root = HERE,
    phase: Annotated[list[Phase] | None, typer.Option(help="Only this one; may be repeated.  [default: all]")] = None,
    seconds: Annotated[float, typer.Option(min=1, help="Seconds of a phase, at least.")] = 60,
    calm_s: Annotated[float, typer.Option(min=0, help="Seconds before the first phase and after each.")] = 15,
    rate: Annotated[float, typer.Option(min=0.1, help="Calls a second.")] = 15,
    timeout_s: Annotated[float, typer.Option(min=0.1, help="Deadline of a call in seconds.")] = 10,
    use_asyncio: Annotated[bool, typer.Option("--asyncio", help="Call with AsyncClient.")] = False,
    as_json: AsJson = False,
) -> None:
    """Call three servers while they are killed, restarted, updated and paused: no call may fail."""
    from luxe_bench.chaos.run import Plan, bench

    project = Project.open(root)
    phases = [one.value for one in phase or ()]
    plan = Plan(phases, seconds=seconds, calm_s=calm_s, rate=rate, timeout_s=timeout_s, asyncio=use_asyncio)
    bench(project, catalog.load(project, name), plan, as_json=as_json)
