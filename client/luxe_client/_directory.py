"""Which addresses the targets stand for now, and when to look again. No I/O: the shells do the looking up."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from luxe_client._pool import Pool, Replica
from luxe_client._targets import Target

__all__ = ["Directory"]


class Directory:
    """Keeps a pool in step with what names resolve to. Addresses need no looking up and are there at once.

    Args:
        targets: of the client.
        pool: whose replicas it keeps.
        every_s: how often names are looked up again.
        now: the time.
    """

    def __init__(self, targets: Sequence[Target], pool: Pool, every_s: float, now: float) -> None:
        self.targets = targets
        self._pool = pool
        self._every_s = every_s
        self._known: Mapping[str, Target] = {}
        self._next_at = -math.inf
        self._left: list[Replica] = []
        if all(target.fixed for target in targets):
            self.update({target.text: target for target in targets}, now)
            self._next_at = math.inf

    @property
    def empty(self) -> bool:
        """Nothing was found yet: no call can go on."""
        return not self._known

    def due(self, now: float) -> bool:
        """Return whether it is time to look; the next time is then a whole period away."""
        if now < self._next_at:
            return False
        self._next_at = now + self._every_s
        return True

    def target(self, address: str) -> Target:
        """Return what an address was found under; one that has left may still be asked for."""
        return self._known.get(address) or Target(address, address, 0, fixed=True)

    def update(self, found: Mapping[str, Target], now: float) -> None:
        """Take what was found."""
        self._known = found
        self._next_at = now + self._every_s
        self._left += self._pool.update(found, now)

    def gone(self) -> list[str]:
        """Return, once each, the addresses that left and have no request in flight: their connections may close."""
        if not self._left:
            return []
        gone = [replica for replica in self._left if not replica.pending]
        self._left = [replica for replica in self._left if replica.pending]
        present = {replica.address for replica in self._pool.replicas}
        return [replica.address for replica in gone if replica.address not in present]
