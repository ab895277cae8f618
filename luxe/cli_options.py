"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from luxe_serving.launcher.arguments import Address

__all__ = ["HERE", "LOCAL", "AsJson", "Key", "Name", "Root", "Server", "Sign", "Which"]

HERE, LOCAL = Path(), Address().grpc

Root = Annotated[Path, typer.Option("--root", help="Folder of the project, with catalog/ in it.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="A model of the catalogue.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Server = Annotated[str, typer.Option("--address", help="The server's gRPC address, host:port.")]
Which = Annotated[
    str | None, typer.Option("--address", help="The server's gRPC address, host:port, where several run.")
]

Sign = Annotated[Path | None, typer.Option(metavar="PRIVATE.pem", help="Sign the manifest with this key.")]
Key = Annotated[Path | None, typer.Option(metavar="PUBLIC.pem", help="Every version must be signed with this key.")]
