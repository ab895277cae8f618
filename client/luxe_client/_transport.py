"""The synchronous shell: sends what exchanges tell it to, and waits on the caller's thread."""

from __future__ import annotations

import contextlib
import functools
import math
import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, Generic, TypeVar, cast

import grpc

from luxe_client import _channel
from luxe_client._attempt import Attempt, Policy
from luxe_client._base import Metadata
from luxe_client._call import Exchange
from luxe_client._directory import Directory
from luxe_client._errors import LuxeError
from luxe_client._options import TLS
from luxe_client._parts import Part
from luxe_client._targets import Resolver, lookup, resolve
from luxe_client._wire import messages
from luxe_client._workers import Workers

__all__ = ["Transport"]

_FEW = 4
"""So many requests in flight have a thread each; more cost less as gRPC's futures (see `luxe_client._workers`)."""

_T = TypeVar("_T")


class Transport:
    """Connections to the replicas; safe for threads.

    Args:
        directory: where the replicas are.
        policy: of the client.
        tls: None for none.
        look_up: the resolver of names.
    """

    def __init__(self, directory: Directory, policy: Policy, tls: TLS | None, look_up: Resolver = lookup) -> None:
        self._directory = directory
        self._policy = policy
        self._tls = tls
        self._credentials = _channel.credentials(tls) if tls else None
        self._look_up = look_up
        self._stub = messages.service_pb2_grpc.GRPCInferenceServiceStub
        self._lock = threading.Lock()
        self._first_look = threading.Lock()
        self._workers = Workers(_FEW)
        self._channels: dict[str, tuple[Any, dict[str, Any]]] = {}

    def run(
        self,
        parts: Iterable[Part[_T]],
        *,
        window: int,
        ahead: float = math.inf,
        deadline: Callable[[], float],
        metadata: Metadata,
    ) -> Iterator[_T]:
        """Return the answers to requests in their order.

        Args:
            window: most requests in flight.
            ahead: most requests that are begun and whose answers are not handed on yet.
            deadline: called as each begins; by the policy's clock.

        Raises:
            LuxeError: the first that fails; what is in flight is left to end by itself.
        """
        source = iter(parts)
        events: queue.SimpleQueue[tuple[_Live[_T], Attempt]] = queue.SimpleQueue()
        live: deque[_Live[_T]] = deque()
        more = True
        while True:
            while more and len(live) < ahead and sum(not one.over for one in live) < window:
                part = next(source, None)
                if part is None:
                    more = False
                    break
                self._refresh()
                live.append(_Live(Exchange(self._policy, part, deadline())))
                self._advance(live[-1], None, events, metadata)
            if not live:
                return
            if live[0].over:
                yield live.popleft().answer
                continue
            until = min(one.until for one in live if not one.over)
            try:
                one, attempt = events.get(timeout=max(0.0, until - self._policy.clock()))
            except queue.Empty:
                now = self._policy.clock()
                for one in live:
                    if not one.over and one.until <= now:
                        self._advance(one, None, events, metadata)
            else:
                if not one.over:  # else a slower try has landed, or a probe
                    self._advance(one, attempt, events, metadata)

    def one(self, part: Part[_T], deadline: float, metadata: Metadata) -> _T:
        """Return the answer to one request."""
        self._refresh()
        events: queue.SimpleQueue[tuple[_Live[_T], Attempt]] = queue.SimpleQueue()
        live = _Live(Exchange(self._policy, part, deadline))
        landed: Attempt | None = None
        while True:
            self._advance(live, landed, events, metadata)
            if live.over:
                return cast(_T, live.answer)
            try:
                landed = events.get(timeout=max(0.0, live.until - self._policy.clock()))[1]
            except queue.Empty:
                landed = None

    def close(self) -> None:
        """Close the connections; requests in flight fail."""
        with self._lock:
            channels, self._channels = self._channels, {}
        for channel, _ in channels.values():
            channel.close()

    def _advance(self, one: _Live[_T], landed: Attempt | None, events: Any, metadata: Metadata) -> None:
        """Hand an exchange what has happened, and do what it says, until it waits or is over."""
        attempts = []
        try:
            action = one.steps.send(landed)
            while isinstance(action, Attempt):
                attempts.append(action)
                action = one.steps.send(None)
            one.until = action
        except StopIteration as stop:
            one.over, one.answer = True, stop.value
        # Last, since it wakes a thread, which would wait for this one's next pause.
        for attempt in attempts:
            self._send(attempt, one, events, metadata)

    def _send(self, attempt: Attempt, one: _Live[Any], events: Any, metadata: Metadata) -> None:
        wire_s = one.deadline - self._policy.clock() + _channel.WIRE_GRACE_S
        method = self._methods(attempt.replica.address)[attempt.part.method]
        ask = functools.partial(_ask, method, attempt, wire_s, metadata)
        flying = sum(replica.pending for replica in self._policy.pool.replicas)
        if flying <= _FEW and self._workers.take(ask, functools.partial(events.put, (one, attempt))):
            return
        try:
            call = method.future(attempt.part.request, timeout=wire_s, metadata=metadata)
        except ValueError as error:
            _closed(attempt, error)
            events.put((one, attempt))
        else:
            # grpcio cancels a call on the wire when its last reference goes; the callback keeps one until it ends.
            call.add_done_callback(functools.partial(_land, attempt, events, one))

    def _methods(self, address: str) -> dict[str, Any]:
        found = self._channels.get(address)
        if found is None:
            with self._lock:
                found = self._channels.get(address) or self._connect(address)
                self._channels[address] = found
        return found[1]

    def _connect(self, address: str) -> tuple[Any, dict[str, Any]]:
        options = _channel.options(self._tls, self._directory.target(address))
        if self._credentials is None:
            channel = grpc.insecure_channel(address, options=options)
        else:
            channel = grpc.secure_channel(address, self._credentials, options=options)
        stub = self._stub(channel)
        return channel, {name: getattr(stub, name) for name in _channel.METHODS}

    def _refresh(self) -> None:
        """Look names up: before the first call can go on, and beside later ones."""
        directory = self._directory
        if directory.empty:
            with self._first_look:
                if directory.empty:
                    self._look()
        elif directory.due(self._policy.clock()):
            threading.Thread(target=self._look_again, name="luxe-client-resolve", daemon=True).start()

    def _look_again(self) -> None:
        with contextlib.suppress(LuxeError):  # what was found before stays
            self._look()

    def _look(self) -> None:
        found = resolve(self._directory.targets, self._look_up)
        self._directory.update(found, self._policy.clock())
        for address in self._directory.gone():
            with self._lock:
                left = self._channels.pop(address, None)
            if left:
                left[0].close()


class _Live(Generic[_T]):
    """An exchange that has begun."""

    __slots__ = ("answer", "deadline", "over", "steps", "until")

    def __init__(self, exchange: Exchange[_T]) -> None:
        self.steps: Generator[Attempt | float, Attempt | None, _T] = exchange.run()
        self.deadline = exchange.deadline
        self.until = exchange.deadline
        self.over = False
        self.answer: Any = None


def _ask(method: Any, attempt: Attempt, wire_s: float, metadata: Metadata) -> None:
    """Make a call and wait for its end, on a thread of its own."""
    try:
        attempt.succeeded(method(attempt.part.request, timeout=wire_s, metadata=metadata))
    except grpc.RpcError as error:
        _failed(attempt, error)
    except ValueError as error:
        _closed(attempt, error)


def _land(attempt: Attempt, events: Any, one: Any, call: Any) -> None:
    """Take a future's end, on gRPC's thread."""
    if call.code() is grpc.StatusCode.OK:
        attempt.succeeded(call.result())
    else:
        _failed(attempt, call)
    events.put((one, attempt))


def _failed(attempt: Attempt, call: Any) -> None:
    attempt.failed(call.code(), call.details() or "", _channel.push_back(call.trailing_metadata()))


def _closed(attempt: Attempt, error: ValueError) -> None:
    """ValueError is gRPC's own word for a closed channel."""
    closed = LuxeError(f"the client is closed: {error}", model=attempt.part.model, address=attempt.replica.address)
    attempt.refused(closed)
