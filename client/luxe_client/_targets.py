"""Where the replicas are: what a caller wrote, and how it becomes addresses."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import socket
from collections.abc import Callable, Sequence

from luxe_client._errors import InvalidInput, Unavailable

__all__ = ["Resolver", "Target", "lookup", "parse", "resolve"]

Resolver = Callable[[str, int], Sequence[str]]
"""From a host's name and a port to ``address:port`` of each; may raise OSError."""


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """One of the things a caller wrote.

    Attributes:
        text: as written.
        host: without brackets.
        port: of gRPC.
        fixed: it is an address, or a name that only means this machine, and is never looked up here.
    """

    text: str
    host: str
    port: int
    fixed: bool


def parse(targets: str | Sequence[str]) -> tuple[Target, ...]:
    """Read ``host:port``, or several of them.

    Raises:
        InvalidInput: there is none, or one is not ``host:port``.
    """
    listed = [targets] if isinstance(targets, str) else targets
    if not isinstance(listed, Sequence) or isinstance(listed, bytes) or not listed:
        raise InvalidInput(f"address {targets!r} is neither host:port nor a list of them")
    return tuple(dict.fromkeys(_parse(text) for text in listed))


def resolve(targets: Sequence[Target], look_up: Resolver) -> dict[str, Target]:
    """Return the addresses of all targets, each with its target; a name that does not resolve has none.

    Raises:
        Unavailable: nothing resolves.
    """
    found: dict[str, Target] = {}
    problem: OSError | None = None
    for target in targets:
        if target.fixed:
            found[target.text] = target
            continue
        try:
            found.update(dict.fromkeys(look_up(target.host, target.port), target))
        except OSError as error:
            problem = error
    if not found:
        names = ", ".join(target.text for target in targets)
        raise Unavailable(f"{names} does not resolve: {problem or 'no address'}", address=names)
    return found


def lookup(host: str, port: int) -> list[str]:
    """Ask the system's resolver.

    A host with addresses of both versions of IP gives those of version 4 alone: both name the same servers.
    """
    entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    four = [entry[4][0] for entry in entries if entry[0] == socket.AF_INET]
    six = [entry[4][0] for entry in entries if entry[0] == socket.AF_INET6]
    # In order of their numbers: resolvers rotate what they answer.
    return sorted({f"{a}:{port}" for a in four} or {f"[{a}]:{port}" for a in six})


def _parse(text: str) -> Target:
    if not isinstance(text, str):
        raise InvalidInput(f"address {text!r} is not host:port, such as 127.0.0.1:8001")
    host, _, port = text.removeprefix("dns:///").rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    good = re.fullmatch(r"[A-Za-z0-9_.-]+", host) if bare == host else _is_ip(bare)
    if not good or not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65_536:
        raise InvalidInput(f"address {text!r} is not host:port, such as 127.0.0.1:8001")
    return Target(text, bare, int(port), fixed=bare == "localhost" or _is_ip(bare))


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
