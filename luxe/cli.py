"""The `luxe` command: thin, and slow imports wait until a command needs them.

Exit status: 0 done; 1 a gate or a target said no; 2 the input, the machine or the project cannot be used.
"""

from __future__ import annotations

import enum
import os
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

try:
    import typer
    import typer.core
except ImportError:
    sys.exit("luxe: the command needs more than the client: pip install 'luxe[all]'")

from luxe import catalog
from luxe.console import console, fail
from luxe.errors import CommandError
from luxe.project import Project
from luxe_client import LuxeError
from luxe_serving.arguments import GRPC_PORT, HTTP_PORT, METRICS_PORT, Address

__all__ = ["main"]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # or [slo] would be read as markup
    help="Fine-tuned Hugging Face models as a gated, quantized, batched Triton service.",
)

_Root = Annotated[Path, typer.Option("--root", help="Folder of the project, with catalog/ in it.")]
_Name = Annotated[str, typer.Argument(metavar="NAME", help="A model of the catalogue.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
_Server = Annotated[str, typer.Option("--address", help="The server's gRPC address, host:port.")]
_Which = Annotated[
    str | None, typer.Option("--address", help="The server's gRPC address, host:port, where several run.")
]

_Sign = Annotated[Path | None, typer.Option(metavar="PRIVATE.pem", help="Sign the manifest with this key.")]
_Key = Annotated[Path | None, typer.Option(metavar="PUBLIC.pem", help="Every version must be signed with this key.")]


class Target(enum.Enum):
    """As `luxe_export.publishing.triton_config.Target`."""

    CPU = "cpu"
    CUDA = "cuda"
    TENSORRT = "tensorrt"


class Part(enum.Enum):
    """As `luxe_bench.cost.run.PARTS`."""

    RATIO = "ratio"
    LATENCY = "latency"
    OVERLOAD = "overload"
    MEMORY = "memory"
    CACHE = "cache"
    NEIGHBOURS = "neighbours"


_HERE, _LOCAL = Path(), Address().grpc


@app.command()
def train(name: _Name, root: _Root = _HERE) -> None:
    """Fine-tune a model with LoRA and write its checkpoint."""
    import tempfile

    project = Project.open(root)
    entry = catalog.load(project, name)
    with console.status("loading PyTorch and transformers"):
        from luxe_training import checkpoint, train
    with tempfile.TemporaryDirectory(prefix="luxe-train-") as work:
        result = train.train(entry, project.data(name), Path(work))
    checkpoint.write(project.checkpoint(name), entry, result)
    test = result.metrics["test"]
    console.print(
        f"[green]trained[/] {name}: test macro-F1 {test.macro_f1:.3f}, "
        f"calibration error {test.expected_calibration_error:.3f}, temperature {result.temperature:.2f}"
    )


@app.command()
def export(
    name: _Name,
    root: _Root = _HERE,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            help="Folder of an adapter or a whole model, or ORGANISATION/MODEL@COMMIT of the hub.  "
            "[default: checkpoints/NAME]"
        ),
    ] = None,
    target: Annotated[Target, typer.Option(help="What it is to run on.")] = Target.CPU,
    candidate: Annotated[
        list[str] | None, typer.Option(metavar="CANDIDATE", help="Only this step of the ladder; may be repeated.")
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say why each candidate won or lost.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Export again, also when nothing has changed.")] = False,
    sign: _Sign = None,
    as_json: _Json = False,
) -> None:
    """Export to ONNX, quantise, measure against PyTorch, and publish the fastest that passes."""
    from luxe_export.run import export

    project = Project.open(root)
    export(
        project,
        catalog.load(project, name),
        checkpoint or project.checkpoint(name),
        target=target.value,
        candidates=candidate or None,
        explain=explain,
        force=force,
        sign=sign,
        as_json=as_json,
    )


@app.command()
def verify(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A published model; all when none.")] = None,
    root: _Root = _HERE,
    key: _Key = None,
    as_json: _Json = False,
) -> None:
    """Check every published file against its manifest; exit status 1 when something is wrong."""
    from luxe.verify_command import show

    show(Project.open(root), name, key=key, as_json=as_json)


@app.command()
def rollback(
    name: _Name,
    root: _Root = _HERE,
    to: Annotated[
        int | None, typer.Option(min=1, help="An older version.  [default: the one before the current files]")
    ] = None,
    sign: _Sign = None,
) -> None:
    """Publish an older version's files as the next version."""
    from luxe import signing
    from luxe_export.publishing.rollback import rollback

    key = None if sign is None else signing.private_key(sign)
    version, target = rollback(Project.open(root).repository, name, to=to, key=key)
    console.print(f"[green]published[/] {name} version {version}: the files of version {target}")


@app.command()
def prune(
    name: _Name, keep: Annotated[int, typer.Option(min=1, help="Versions that stay.")], root: _Root = _HERE
) -> None:
    """Remove a model's oldest versions."""
    from luxe_export.publishing.prune import prune

    gone = prune(Project.open(root).repository, name, keep=keep)
    console.print(f"removed {name} version {', '.join(map(str, gone))}" if gone else f"{name}: nothing to remove")


@app.command()
def serve(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Published models; all when none.")
    ] = None,
    root: _Root = _HERE,
    host: Annotated[str, typer.Option(help="Interface to listen on; loopback unless told otherwise.")] = Address().host,
    http_port: int = HTTP_PORT,
    grpc_port: int = GRPC_PORT,
    metrics_port: int = METRICS_PORT,
    key: _Key = None,
    otlp: Annotated[
        str | None, typer.Option(metavar="URL", help="Send a trace of every request to this OpenTelemetry collector.")
    ] = None,
    access_log: Annotated[bool, typer.Option("--access-log", help="One line a request in runs/triton.log.")] = False,
) -> None:
    """Serve published models on the embedded Triton, until SIGINT or SIGTERM."""
    from luxe_serving.serve import Options, serve

    project = Project.open(root)
    serve(
        project.repository,
        Address(host, http_port, grpc_port, metrics_port),
        project.runs / "triton.log",
        Options(models=tuple(names or ()), key=key, otlp=otlp, access_log=access_log),
    )


@app.command()
def load(name: _Name, root: _Root = _HERE, address: _Which = None, key: _Key = None, as_json: _Json = False) -> None:
    """Load a model's newest version into a running server; no call fails meanwhile."""
    from luxe_serving import change

    change.show(change.load(Project.open(root), name, address=address, key=key), as_json=as_json)


@app.command()
def unload(name: _Name, root: _Root = _HERE, address: _Which = None, as_json: _Json = False) -> None:
    """Take a model off a running server; accepted requests are answered first."""
    from luxe_serving import change

    change.show(change.unload(Project.open(root), name, address=address), as_json=as_json)


@app.command()
def predict(
    name: _Name,
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TEXT]...", help="Texts; from standard input, one a line, when none."),
    ] = None,
    address: _Server = _LOCAL,
    as_json: _Json = False,
    timeout_s: Annotated[float, typer.Option(help="Deadline of a request, in seconds.")] = 10.0,
) -> None:
    """Ask a running server."""
    from luxe.predict import predict

    predict(name, texts or None, address=address, as_json=as_json, timeout_s=timeout_s)


@app.command()
def models(root: _Root = _HERE, address: _Server = _LOCAL, as_json: _Json = False) -> None:
    """List the catalogue: what is trained, published and served."""
    from luxe.models import show

    show(Project.open(root), address=address, as_json=as_json)


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
app.add_typer(bench, name="bench")


@bench.command("load")
def bench_load(
    name: _Name,
    root: _Root = _HERE,
    address: _Server = _LOCAL,
    rate: Annotated[
        float | None, typer.Option(min=0.1, help="Requests a second.  [default: the model's [slo]]")
    ] = None,
    duration_s: Annotated[int, typer.Option(min=1, help="Seconds of load.")] = 20,
    as_json: _Json = False,
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
def bench_export(root: _Root = _HERE, as_json: _Json = False) -> None:
    """Time an export of DistilBERT-base's size, random weights, and hold it against 4 minutes and 6 GB."""
    from luxe_bench.export_cost import bench

    bench(Project.open(root), as_json=as_json)


@bench.command("cost")
def bench_cost(
    name: _Name,
    root: _Root = _HERE,
    part: Annotated[list[Part] | None, typer.Option(help="Only this part; may be repeated.  [default: all]")] = None,
    texts: Annotated[int, typer.Option(min=32, help="Texts of a closed loop.")] = 5000,
    seconds: Annotated[float, typer.Option(min=1, help="Seconds of an open loop.")] = 30,
    as_json: _Json = False,
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


@app.command()
def demo(name: _Name = "comment-intent", root: _Root = _HERE) -> None:
    """Show the whole line: export, serve, ask, load, verdict."""
    from luxe.demo import demo

    project = Project.open(root)
    demo(project, catalog.load(project, name))


def main() -> NoReturn:
    """Run the command line; a user's mistake is one line on standard error and exit status 2."""
    try:
        app()
    except CommandError as error:
        fail(str(error))
        sys.exit(error.exit_status)
    except LuxeError as error:
        fail(str(error))
        sys.exit(2)
    except BrokenPipeError:  # the reader of our output has left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)
