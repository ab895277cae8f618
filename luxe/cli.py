"""The `luxe` command: thin, and slow imports wait until a command needs them.

Exit status: 0 done; 1 a gate or a target said no; 2 the input, the machine or the project cannot be used.
"""

from __future__ import annotations

import enum
import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

try:
    import typer
except ImportError:
    sys.exit("luxe: the command needs more than the client: pip install 'luxe[all]'")

from luxe import catalog
from luxe.cli_bench import bench
from luxe.cli_options import HERE, LOCAL, AsJson, Key, Name, Root, Server, Sign, Which
from luxe.console import console, fail
from luxe.errors import CommandError
from luxe.project import Project
from luxe_client import LuxeError
from luxe_serving.launcher.arguments import GRPC_PORT, HTTP_PORT, METRICS_PORT, Address

__all__ = ["main"]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # or [slo] would be read as markup
    help="Fine-tuned Hugging Face models as a gated, quantized, batched Triton service.",
)


class Target(enum.Enum):
    """As `luxe_export.publishing.triton_config.Target`."""

    CPU = "cpu"
    CUDA = "cuda"
    TENSORRT = "tensorrt"


class Knob(enum.Enum):
    """As `luxe_bench.tune.knobs.COORDINATES`."""

    ENGINES = "engines"
    MICRO_BATCH = "micro-batch"
    DELAY = "delay"


@app.command()
def train(name: Name, root: Root = HERE) -> None:
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
    name: Name,
    root: Root = HERE,
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
    sign: Sign = None,
    as_json: AsJson = False,
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
    root: Root = HERE,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Check every published file against its manifest; exit status 1 when something is wrong."""
    from luxe.verify_command import show

    show(Project.open(root), name, key=key, as_json=as_json)


@app.command()
def rollback(
    name: Name,
    root: Root = HERE,
    to: Annotated[
        int | None, typer.Option(min=1, help="An older version.  [default: the one before the current files]")
    ] = None,
    sign: Sign = None,
) -> None:
    """Publish an older version's files as the next version."""
    from luxe import signing
    from luxe_export.publishing.rollback import rollback

    key = None if sign is None else signing.private_key(sign)
    version, target = rollback(Project.open(root).repository, name, to=to, key=key)
    console.print(f"[green]published[/] {name} version {version}: the files of version {target}")


@app.command()
def prune(name: Name, keep: Annotated[int, typer.Option(min=1, help="Versions that stay.")], root: Root = HERE) -> None:
    """Remove a model's oldest versions."""
    from luxe_export.publishing.prune import prune

    gone = prune(Project.open(root).repository, name, keep=keep)
    console.print(f"removed {name} version {', '.join(map(str, gone))}" if gone else f"{name}: nothing to remove")


@app.command()
def serve(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Published models; all when none.")
    ] = None,
    root: Root = HERE,
    host: Annotated[str, typer.Option(help="Interface to listen on; loopback unless told otherwise.")] = Address().host,
    http_port: int = HTTP_PORT,
    grpc_port: int = GRPC_PORT,
    metrics_port: int = METRICS_PORT,
    key: Key = None,
    otlp: Annotated[
        str | None, typer.Option(metavar="URL", help="Send a trace of every request to this OpenTelemetry collector.")
    ] = None,
    access_log: Annotated[bool, typer.Option("--access-log", help="One line a request in runs/triton.log.")] = False,
) -> None:
    """Serve published models on the embedded Triton, until SIGINT or SIGTERM."""
    from luxe_serving.launcher.serve import Options, serve

    project = Project.open(root)
    serve(
        project.repository,
        Address(host, http_port, grpc_port, metrics_port),
        project.runs / "triton.log",
        Options(models=tuple(names or ()), key=key, otlp=otlp, access_log=access_log),
    )


@app.command()
def load(name: Name, root: Root = HERE, address: Which = None, key: Key = None, as_json: AsJson = False) -> None:
    """Load a model's newest version into a running server; no call fails meanwhile."""
    from luxe_serving.launcher import change

    change.show(change.load(Project.open(root), name, address=address, key=key), as_json=as_json)


@app.command()
def unload(name: Name, root: Root = HERE, address: Which = None, as_json: AsJson = False) -> None:
    """Take a model off a running server; accepted requests are answered first."""
    from luxe_serving.launcher import change

    change.show(change.unload(Project.open(root), name, address=address), as_json=as_json)


@app.command()
def predict(
    name: Name,
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TEXT]...", help="Texts; from standard input, one a line, when none."),
    ] = None,
    address: Server = LOCAL,
    as_json: AsJson = False,
    timeout_s: Annotated[float, typer.Option(help="Deadline of a request, in seconds.")] = 10.0,
) -> None:
    """Ask a running server."""
    from luxe.predict import predict

    predict(name, texts or None, address=address, as_json=as_json, timeout_s=timeout_s)


@app.command()
def models(root: Root = HERE, address: Server = LOCAL, as_json: AsJson = False) -> None:
    """List the catalogue: what is trained, published and served."""
    from luxe.models import show

    show(Project.open(root), address=address, as_json=as_json)


app.add_typer(bench, name="bench")


@app.command()
def tune(
    name: Name,
    root: Root = HERE,
    texts: Annotated[int, typer.Option(min=32, help="Texts of a round, for each setting.")] = 200,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of a comparison.")] = 6,
    seconds: Annotated[
        float | None, typer.Option(min=1, help="Seconds at the [slo]'s rate.  [default: 300 requests, 5 to 20 s]")
    ] = None,
    knob: Annotated[list[Knob] | None, typer.Option(help="Only this one; may be repeated.  [default: all]")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Leave the catalogue as it is.")] = False,
    as_json: AsJson = False,
) -> None:
    """Search engines, threads, micro-batch and queue delay under the [slo]; write the winner into the catalogue."""
    from luxe_bench.tune.run import tune

    tune(
        Project.open(root),
        name,
        texts=texts,
        rounds=rounds,
        seconds=seconds,
        only=[one.value for one in knob or ()],
        dry_run=dry_run,
        as_json=as_json,
    )


@app.command()
def demo(name: Name = "comment-intent", root: Root = HERE) -> None:
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
