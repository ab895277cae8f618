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

    __slots__ = (
        "_balancing", "_busy", "_heard", "_left_at", "_models", "_pending", "_ready", "_whole", "address", "retired",
    )  # fmt: skip

    def __init__(self, address: str, balancing: Balancing, now: float) -> None:
        self.address = address
        self.retired = False
        self._balancing = balancing
        self._whole = self._breaker(after=1)
        self._models: dict[str, Breaker] = {}
        # When it did not answer at all: it may have come back without its models.
        self._left_at: float | None = None
        # Models that were left, of which it says since that they are ready.
        self._ready: set[str] = set()
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
        found = self._models.get(model)
        if found is None:
            found = self._models[model] = self._breaker(self._balancing.eject_after)
            if self._left_at is not None:
                found.half_open(self._left_at)
        return found

    def _leave(self, sent: float, now: float) -> None:
        """Take every model for one that may not be there when the server is."""
        if self._left_at is not None and sent <= self._left_at:
            return
        self._left_at = now
        self._ready.clear()
        for breaker in self._models.values():
            breaker.half_open(now)

    def _breakers(self, model: str) -> tuple[Breaker, ...]:
        """Return what must let a request through; one that is about no model asks the server only."""
        return (self._whole, self._of_model(model)) if model else (self._whole,)

    def _quiet(self, model: str, now: float) -> bool:
        return self._busy.get(model, now) > now or self.stalled(now)

    def _well(self, model: str, now: float) -> bool:
        return all(one.closed for one in self._breakers(model)) and not self._quiet(model, now)

    def _allows(self, model: str, now: float) -> bool:
        """Return whether it is well, or its next probe is due."""
        return all(one.allows(now) for one in self._breakers(model)) and not self._quiet(model, now)

    def _well_at(self, model: str, now: float) -> float:
        at = max(self._busy.get(model, now), *(one.next_at for one in self._breakers(model)))
        return at + self._balancing.longest_s if self.stalled(now) else at


class Pool:
    """All replicas of a client; safe for threads.

    Args:
        balancing: of the client.
        copies: a request may be sent twice though nothing failed, so that no caller waits for a probe.
    """

    def __init__(self, balancing: Balancing, *, copies: bool = True) -> None:
        self._balancing = balancing
        self._copies = copies
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
        """Return whether a replica may be asked that was not tried."""
        with self._lock:
            return any(r not in tried and r._allows(model, now) for r in self._replicas)

    def send(self, model: str, now: float, tried: Collection[Replica] = ()) -> tuple[Replica, int]:
        """Choose the replica for a request, and note that it was sent; returns it with the request's number.

        A well one that was not tried, else one whose probe is due, else any well one; where there is none, the one that
        is so soonest: a client with nobody left to ask had better ask.

        Raises:
            LookupError: there are no replicas at all.
        """
        with self._lock:
            replica = self._choose(model, now, tried)
            return replica, self._sent(replica, model, now)

    def probes(self, model: str, now: float) -> list[tuple[Replica, int, bool]]:
        """Return the replicas that are due to be probed, and note that they were; with each its number, and whether it
        says that it is ready, so that only a request can tell.

        Where no replica is well there are none: the requests themselves are the probes then.
        """
        with self._lock:
            if not any(replica._well(model, now) for replica in self._replicas):
                return []
            due = [r for r in self._replicas if not self._good(r, model, now) and r._allows(model, now)]
            return [(r, self._sent(r, model, now), model in r._ready) for r in due]

    def probed(self, replica: Replica, number: int, model: str, now: float, *, ready: bool) -> None:
        """Note that a replica has said whether it is ready for a model."""
        with self._lock:
            sent = self._heard(replica, number, now)
            replica._whole.succeeded(sent)
            if ready:
                replica._ready.add(model)
                replica._of_model(model).ready()
            else:
                replica._of_model(model).failed(sent, now, at_once=True)

    def landed(
        self, replica: Replica, number: int, model: str, now: float, verdict: Verdict | None, busy_s: float = 0.0
    ) -> None:
        """Note that a request was answered (None), or failed with a verdict; ``busy_s`` is the server's push-back."""
        with self._lock:
            sent = self._heard(replica, number, now)
            if verdict is Verdict.GONE:
                replica._whole.failed(sent, now, at_once=True)
                replica._leave(sent, now)
                return
            replica._whole.succeeded(sent)
            if verdict is Verdict.BUSY:
                replica._busy[model] = now + busy_s
            elif not model:
                return
            elif verdict is Verdict.SICK or verdict is Verdict.FAULT:
                replica._ready.discard(model)
                replica._of_model(model).failed(sent, now, at_once=verdict is Verdict.SICK)
            else:
                replica._of_model(model).succeeded(sent)

    def _heard(self, replica: Replica, number: int, now: float) -> float:
        replica._heard = now
        return replica._pending.pop(number)

    def _sent(self, replica: Replica, model: str, now: float) -> int:
        number = next(self._numbers)
        replica._pending[number] = now
        for breaker in replica._breakers(model):
            breaker.sent(now)
        return number

    def _good(self, replica: Replica, model: str, now: float) -> bool:
        """Return whether a replica is well, or said that it is ready where nothing but a caller's request may probe."""
        by_caller = not self._copies and model in replica._ready and replica._allows(model, now)
        return by_caller or replica._well(model, now)

    def _choose(self, model: str, now: float, tried: Collection[Replica]) -> Replica:
        if len(self._replicas) == 1:
            return self._replicas[0]
        if not self._replicas:
            raise LookupError("no replicas")
        well = [replica for replica in self._replicas if self._good(replica, model, now)]
        candidates = (
            [replica for replica in well if replica not in tried]
            or [replica for replica in self._replicas if replica not in tried and replica._allows(model, now)]
            or well
        )
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
