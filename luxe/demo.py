"""`luxe demo`: the whole line in one go, on free ports, leaving nothing running."""

from __future__ import annotations

from luxe import access
from luxe.console import console, output, step
from luxe.predict import answers_table
from luxe.project import Project
from luxe.schema import Entry
from luxe_client import Client

__all__ = ["demo"]

_COMMENTS = [
    "where can i get those boots, i need them for saturday 😭",
    "i hate how good this is",
    "Three weeks and my subscription copy still hasn't arrived. Can someone look into it?",
    "who shot this cover?",
    "We run a small perfume house in Porto and would love to work on a scent with you.",
    "DM @grow.fast.now to get 10k followers today 🚀🚀",
    "another white twink on the cover. groundbreaking.",
    "me and @lou at 4am in the taxi home",
    "nobody wants to see your ugly face, crawl back into your hole",
]

_BENCH_S = 15


def demo(project: Project, entry: Entry) -> None:
    """Export ``entry`` unless that is done, serve it, ask it, load it, print the verdict.

    Raises:
        CommandError: a step failed; what was started is stopped.
    """
    from luxe_bench.run import bench
    from luxe_export.run import export
    from luxe_serving.launcher.serve import check
    from luxe_serving.launcher.server import free_address, running

    step(f"export {entry.name}")
    export(project, entry, project.checkpoint(entry.name))
    with access.reading(project.repository):
        check(project.repository)
    address = free_address()
    step(f"serve on {address.grpc} (gRPC), {address.http} (HTTP)")
    with running(project.repository, address, project.runs / "triton.log"):
        step("ask")
        with Client(address.grpc) as client:
            answers = client.classify(entry.name, _COMMENTS)
        output.print(answers_table(_COMMENTS, answers))
        step(f"load: {entry.slo.requests_per_s:g} requests/s for {_BENCH_S} s")
        bench(
            project,
            entry,
            address=address.grpc,
            rate=entry.slo.requests_per_s,
            duration_s=_BENCH_S,
            as_json=False,
        )
    console.print("[green]done[/]: the server is stopped; start it with `luxe serve`")
