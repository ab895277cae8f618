"""The replicas: which are there, which are well, and which is next. No I/O, and the time is handed in."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Collection, Iterable

from luxe_client._options import Balancing
from luxe_client._policy.breaker import Breaker
from luxe_client._policy.verdict import Verdict

__all__ = ["Pool", "Replica"]


class Replica:
    """A server, as this client knows it. Only `Pool` changes one.

    Attributes:
        address: ``host:port``.
        retired: it is on no list any more, and gets no new requests.
    """

    __slots__ = ("_balancing", "_busy", "_heard", "_models", "_pending", "_whole", "address", "retired")

    def __init__(self, address: str, balancing: Balancing, now: float) -> None:
        self.address = address
        self.retired = False
        self._balancing = balancing
        self._whole = self._breaker(after=1)
        self._models: dict[str, Breaker] = {}
        self._busy: dict[str, float] = {}
        # Requests in flight with the time they were sent, in that order: the first is the oldest.
        self._pending: dict[int, float] = {}
        self._heard = now

    @property
    def pending(self) -> int:
        """Requests in flight."""
        return len(self._pending)

    def stalled(self, now: float) -> bool:
        """Return whether a request waits here, and nothing was heard, for longer than `Balancing.stall_s`."""
        before = now - self._balancing.stall_s
        return self._heard < before and next(iter(self._pending.values()), now) < before

    def _breaker(self, after: int) -> Breaker:
        return Breaker(after=after, first_s=self._balancing.eject_s, longest_s=self._balancing.longest_s)

    def _of_model(self, model: str) -> Breaker:
        if model not in self._models:
            self._models[model] = self._breaker(self._balancing.eject_after)
        return self._models[model]

    def _well(self, model: str, now: float) -> bool:
        of_model = self._models.get(model)
        return (
            self._whole.allows(now)
            and (of_model is None or of_model.allows(now))
            and self._busy.get(model, now) <= now
            and not self.stalled(now)
        )

    def _well_at(self, model: str, now: float) -> float:
        of_model = self._models.get(model)
        at = max(self._whole.next_at, of_model.next_at if of_model else now, self._busy.get(model, now))
        return at + self._balancing.longest_s if self.stalled(now) else at


class Pool:
    """All replicas of a client; safe for threads."""

    def __init__(self, balancing: Balancing) -> None:
        self._balancing = balancing
        self._lock = threading.Lock()
        self._replicas: tuple[Replica, ...] = ()
        self._numbers = itertools.count()
        self._turn = 0

    @property
    def replicas(self) -> tuple[Replica, ...]:
        """Those that may get requests."""
        return self._replicas

    def update(self, addresses: Iterable[str], now: float) -> list[Replica]:
        """Take the replicas that are there now; returns those that left, which may still have requests in flight."""
        with self._lock:
            known = {replica.address: replica for replica in self._replicas}
            wanted = dict.fromkeys(addresses)
            self._replicas = tuple(known.get(a) or Replica(a, self._balancing, now) for a in wanted)
            left = [replica for address, replica in known.items() if address not in wanted]
            for replica in left:
                replica.retired = True
            return left

    def others(self, model: str, now: float, tried: Collection[Replica]) -> bool:
        """Return whether a replica is well that was not tried."""
        with self._lock:
            return any(r not in tried and r._well(model, now) for r in self._replicas)

    def send(self, model: str, now: float, tried: Collection[Replica] = ()) -> tuple[Replica, int]:
        """Choose the replica for a request, and note that it was sent; returns it with the request's number.

        A well one that was not tried, else a well one; where none is well, the one that is so soonest: a client with
        nobody left to ask had better ask.

        Raises:
            LookupError: there are no replicas at all.
        """
        with self._lock:
            replica = self._choose(model, now, tried)
            number = next(self._numbers)
            replica._pending[number] = now
            replica._whole.sent(now)
            if model in replica._models:
                replica._models[model].sent(now)
            return replica, number

    def landed(
        self, replica: Replica, number: int, model: str, now: float, verdict: Verdict | None, busy_s: float = 0.0
    ) -> None:
        """Note that a request was answered (None), or failed with a verdict; ``busy_s`` is the server's push-back."""
        with self._lock:
            sent = replica._pending.pop(number)
            replica._heard = now
            if verdict is Verdict.GONE:
                replica._whole.failed(sent, now, at_once=True)
                return
            replica._whole.succeeded(sent)
            if verdict is Verdict.BUSY:
                replica._busy[model] = now + busy_s
            elif verdict is Verdict.SICK or verdict is Verdict.FAULT:
                replica._of_model(model).failed(sent, now, at_once=verdict is Verdict.SICK)
            elif model in replica._models:
                replica._models[model].succeeded(sent)

    def _choose(self, model: str, now: float, tried: Collection[Replica]) -> Replica:
        if len(self._replicas) == 1:
            return self._replicas[0]
        if not self._replicas:
            raise LookupError("no replicas")
        well = [replica for replica in self._replicas if replica._well(model, now)]
        candidates = [replica for replica in well if replica not in tried] or well
        if not candidates:
            # Those tried are asked again only when all were.
            rest = [replica for replica in self._replicas if replica not in tried] or self._replicas
            soonest = min(replica._well_at(model, now) for replica in rest)
            candidates = [replica for replica in rest if replica._well_at(model, now) == soonest]
        self._turn += 1
        if self._balancing.policy == "least_pending":
            least = min(replica.pending for replica in candidates)
            candidates = [replica for replica in candidates if replica.pending == least]
        return candidates[self._turn % len(candidates)]
