"""The servers of a run: a project of its own, and three `luxe serve` on it."""

from __future__ import annotations

import contextlib
import random
import shutil
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from luxe.errors import UserError
from luxe.manifest import Manifest
from luxe.project import Project
from luxe_bench.chaos.replica import Replica
from luxe_bench.cost import copies
from luxe_serving.launcher.arguments import Address
from luxe_serving.launcher.scratch import sweep

__all__ = ["SERVERS", "Published", "addresses", "fleet"]

SERVERS = 3
_PORTS = range(20_000, 30_000)
_TRIES = 1000


class Published:
    """A project with one model, copied from another project.

    Args:
        source: the project that has it.
        manifest: of the version to copy.
        root: the new project, made here.
    """

    def __init__(self, source: Project, manifest: Manifest, root: Path) -> None:
        self.model = manifest.model
        self._source, self._manifest = source, manifest
        (root / "catalog").mkdir(parents=True)
        shutil.copy2(source.catalog / f"{self.model}.toml", root / "catalog")
        self.project = Project.open(root)
        self.publish()

    def publish(self) -> None:
        """Publish it as the next version, as `luxe export` would; without the cache, whose answers need no engine."""
        change = {"cache_bytes": 0}
        copies.copy(self._source.repository, self._manifest, [self.model], self.project.repository, change=change)


@contextlib.contextmanager
def fleet(published: Published, scratch: Path) -> Iterator[list[Replica]]:
    """Run the servers, all ready; whatever became of them, none is left at the end.

    Args:
        scratch: for their logs.

    Raises:
        UserError: one does not start.
    """
    replicas = [
        Replica(published.project, published.model, address, scratch / f"serve-{number}.log")
        for number, address in enumerate(addresses(SERVERS))
    ]
    try:
        for replica in replicas:  # one after the other: each times its engine meanwhile
            replica.start()
            replica.until_it_answers()
        yield replicas
    finally:
        with ThreadPoolExecutor(len(replicas)) as pool:
            list(pool.map(Replica.end, replicas))
        sweep()  # what a killed server has left


def addresses(count: int) -> list[Address]:
    """Return loopback ports that nobody uses, below those that the system gives to connections.

    A server that is down loses its port to the first connection that gets it, and a client that calls it may get it.
    """
    chance, taken = random.Random(), set[int]()
    for _ in range(_TRIES):
        if len(taken) == 3 * count:
            break
        port = chance.choice(_PORTS)
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            taken.add(port)
    else:
        raise UserError(f"no {3 * count} free ports between {_PORTS[0]} and {_PORTS[-1]}")
    ports = sorted(taken)
    return [Address("127.0.0.1", *ports[3 * i : 3 * i + 3]) for i in range(count)]
