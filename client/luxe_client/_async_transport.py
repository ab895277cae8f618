"""The asyncio shell: sends what exchanges tell it to, and waits on one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, TypeVar

import grpc
import grpc.aio

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

__all__ = ["AsyncTransport", "Parts"]

_T = TypeVar("_T")

Parts = Iterable[Part[_T]] | AsyncIterator[Part[_T]]


class AsyncTransport:
    """Connections to the replicas, of the event loop that first uses them.

    Args:
        directory: where the replicas are.
        policy: of the client.
        tls: None for none.
        look_up: the resolver of names; runs on a thread.
    """

    def __init__(self, directory: Directory, policy: Policy, tls: TLS | None, look_up: Resolver = lookup) -> None:
        self._directory = directory
        self._policy = policy
        self._tls = tls
        self._credentials = _channel.credentials(tls) if tls else None
        self._look_up = look_up
        self._stub = messages.service_pb2_grpc.GRPCInferenceServiceStub
        self._loop: asyncio.AbstractEventLoop | None = None
        self._channels: dict[str, tuple[Any, dict[str, Any]]] = {}
        # The event loop itself keeps no task alive, and grpc cancels on the wire what is collected.
        self._background: set[asyncio.Task[Any]] = set()
        self._first_look: asyncio.Task[None] | None = None

    async def run(
        self,
        parts: Parts[_T],
        *,
        window: int,
        ahead: float = math.inf,
        deadline: Callable[[], float],
        metadata: Metadata,
    ) -> AsyncIterator[_T]:
        """Return the answers to requests in their order.

        Args:
            window: most requests in flight.
            ahead: most requests that are begun and whose answers are not handed on yet.
            deadline: called as each begins; by the policy's clock.

        Raises:
            LuxeError: the first that fails; what is in flight is left to end by itself.
        """
        await self._refresh()
        source = _iterate(parts)
        live: deque[asyncio.Task[_T]] = deque()
        more = True
        try:
            while True:
                flying = {task for task in live if not task.done()}
                while more and len(live) < ahead and len(flying) < window:
                    try:
                        part = await anext(source)
                    except StopAsyncIteration:
                        more = False
                    else:
                        live.append(asyncio.ensure_future(self.one(part, deadline(), metadata)))
                        flying.add(live[-1])
                if not live:
                    return
                if live[0].done():
                    yield live.popleft().result()
                    continue
                for task in (await asyncio.wait(flying, return_when=asyncio.FIRST_COMPLETED))[0]:
                    task.result()  # one that fails ends all, also before its turn
        finally:
            for task in live:
                task.cancel()
                if task.done() and not task.cancelled():
                    task.exception()  # seen, so that asyncio does not report it

    async def one(self, part: Part[_T], deadline: float, metadata: Metadata) -> _T:
        """Return the answer to one request."""
        await self._refresh()
        steps = Exchange(self._policy, part, deadline).run()
        events = _Events()
        try:
            action = steps.send(None)
            while True:
                if isinstance(action, Attempt):
                    self._keep(self._attempt(action, deadline, metadata, events))
                    action = steps.send(None)
                else:
                    action = steps.send(await events.get(max(0.0, action - self._policy.clock())))
        except StopIteration as stop:
            answer: _T = stop.value
            return answer

    async def close(self) -> None:
        """Close the connections; requests in flight fail."""
        channels, self._channels = self._channels, {}
        for channel, _ in channels.values():
            await channel.close()

    def _keep(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    async def _attempt(self, attempt: Attempt, deadline: float, metadata: Metadata, events: _Events) -> None:
        part, address = attempt.part, attempt.replica.address
        wire_s = deadline - self._policy.clock() + _channel.WIRE_GRACE_S
        try:
            method = self._methods(address)[part.method]
            attempt.succeeded(await method(part.request, timeout=wire_s, metadata=metadata))
        except grpc.aio.AioRpcError as error:
            push_back = _channel.push_back(error.trailing_metadata())
            attempt.failed(error.code(), error.details() or "", push_back)
        except (asyncio.CancelledError, grpc.aio.UsageError) as error:
            # A channel that closes cancels its calls, and takes no more.
            attempt.refused(LuxeError(f"the client is closed: {error}", model=part.model, address=address))
        events.put(attempt)

    def _methods(self, address: str) -> dict[str, Any]:
        found = self._channels.get(address)
        if found is None:
            options = _channel.options(self._tls, self._directory.target(address))
            if self._credentials is None:
                channel = grpc.aio.insecure_channel(address, options=options)
            else:
                channel = grpc.aio.secure_channel(address, self._credentials, options=options)
            stub = self._stub(channel)
            found = self._channels[address] = (channel, {name: getattr(stub, name) for name in _channel.METHODS})
        return found[1]

    async def _refresh(self) -> None:
        """Look names up: before the first call can go on, and beside later ones."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            if self._loop is not None:
                raise LuxeError("the client belongs to another event loop: make one in each")
            self._loop = loop
        directory = self._directory
        if directory.empty:
            if self._first_look is None or self._first_look.done():
                self._first_look = self._keep(self._look())
            await asyncio.shield(self._first_look)
        elif directory.due(self._policy.clock()):
            self._keep(self._look_again())

    async def _look_again(self) -> None:
        with contextlib.suppress(LuxeError):  # what was found before stays
            await self._look()

    async def _look(self) -> None:
        found = await asyncio.get_running_loop().run_in_executor(None, resolve, self._directory.targets, self._look_up)
        self._directory.update(found, self._policy.clock())
        for address in self._directory.gone():
            left = self._channels.pop(address, None)
            if left:
                await left[0].close()


class _Events:
    """The attempts of one exchange that have landed: a queue whose `get` has a timeout, and costs little."""

    __slots__ = ("_landed", "_waiter")

    def __init__(self) -> None:
        self._landed: deque[Attempt] = deque()
        self._waiter: asyncio.Future[None] | None = None

    def put(self, attempt: Attempt) -> None:
        """Note that an attempt has landed."""
        self._landed.append(attempt)
        self._wake()

    async def get(self, timeout_s: float) -> Attempt | None:
        """Return the next attempt; None when there is none in time."""
        if not self._landed:
            loop = asyncio.get_running_loop()
            self._waiter = loop.create_future()
            timer = loop.call_later(timeout_s, self._wake)
            try:
                await self._waiter
            finally:
                timer.cancel()
        return self._landed.popleft() if self._landed else None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


async def _iterate(parts: Parts[_T]) -> AsyncIterator[Part[_T]]:
    if isinstance(parts, AsyncIterator):
        async for part in parts:
            yield part
    else:
        for part in parts:
            yield part
