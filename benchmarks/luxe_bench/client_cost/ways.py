"""Ways to get the labels of texts: our clients, and what one would write by hand with tritonclient.

Each is all that a service does for a text, from the str to the label.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import tritonclient.grpc
import tritonclient.grpc.aio

from luxe_client import AsyncClient, Classification, Client

__all__ = ["WAYS", "Way"]

_TIMEOUT_S = 60.0

Batch = tuple[int, Sequence[str]]
"""The place of the first text, and the texts of one request."""


class Way(Protocol):
    """Connections to one server."""

    def go(self, texts: Sequence[str], *, callers: int, batch: int) -> list[str]:
        """Return the label of each text.

        Args:
            callers: requests in flight, each sent when another was answered.
            batch: texts of a request.
        """

    def close(self) -> None:
        """Close the connections."""


class Luxe:
    """Threads that share a `Client`."""

    def __init__(self, address: str, model: str) -> None:
        self._client, self._model = Client(address, timeout_s=_TIMEOUT_S), model

    def go(self, texts: Sequence[str], *, callers: int, batch: int) -> list[str]:
        def ask(_caller: int, some: Sequence[str]) -> list[str]:
            if len(some) == 1:
                return [self._client.classify(self._model, some[0]).label]
            return [answer.label for answer in self._client.classify(self._model, some)]

        return _threads(ask, texts, callers, batch)

    def close(self) -> None:
        self._client.close()


class Tritonclient:
    """Threads with an `InferenceServerClient` each, since its documentation says that they may not share one."""

    def __init__(self, address: str, model: str) -> None:
        self._address, self._model = address, model
        self._clients: list[Any] = []

    def go(self, texts: Sequence[str], *, callers: int, batch: int) -> list[str]:
        while len(self._clients) < callers:
            self._clients.append(tritonclient.grpc.InferenceServerClient(self._address))

        def ask(caller: int, some: Sequence[str]) -> list[str]:
            inputs = [_tensor(tritonclient.grpc.InferInput, some)]
            return _labels(self._clients[caller].infer(self._model, inputs, client_timeout=_TIMEOUT_S))

        return _threads(ask, texts, callers, batch)

    def close(self) -> None:
        for client in self._clients:
            client.close()


class LuxeAsyncio:
    """Tasks that share an `AsyncClient`."""

    def __init__(self, address: str, model: str) -> None:
        self._client, self._model = AsyncClient(address, timeout_s=_TIMEOUT_S), model
        self._loop = asyncio.new_event_loop()

    def go(self, texts: Sequence[str], *, callers: int, batch: int) -> list[str]:
        async def ask(some: Sequence[str]) -> list[str]:
            if len(some) == 1:
                return [(await self._client.classify(self._model, some[0])).label]
            return [answer.label for answer in await self._client.classify(self._model, some)]

        return self._loop.run_until_complete(_tasks(ask, texts, callers, batch))

    def close(self) -> None:
        self._loop.run_until_complete(self._client.close())
        self._loop.close()


class TritonclientAsyncio:
    """Tasks that share an `InferenceServerClient` of tritonclient.grpc.aio."""

    def __init__(self, address: str, model: str) -> None:
        self._address, self._model = address, model
        self._client: Any = None
        self._loop = asyncio.new_event_loop()

    def go(self, texts: Sequence[str], *, callers: int, batch: int) -> list[str]:
        async def ask(some: Sequence[str]) -> list[str]:
            if self._client is None:
                self._client = tritonclient.grpc.aio.InferenceServerClient(self._address)
            inputs = [_tensor(tritonclient.grpc.aio.InferInput, some)]
            return _labels(await self._client.infer(self._model, inputs, client_timeout=_TIMEOUT_S))

        return self._loop.run_until_complete(_tasks(ask, texts, callers, batch))

    def close(self) -> None:
        self._loop.run_until_complete(self._client.close())
        self._loop.close()


class IterClassify:
    """`Client.iter_classify` as it is by default, so that it sends what it thinks best."""

    def __init__(self, address: str, model: str) -> None:
        self._client, self._model = Client(address), model

    def go(self, texts: Sequence[str], *, callers: int, batch: int) -> list[str]:
        return [answer.label for answer in self._client.iter_classify(self._model, texts, expect=Classification)]

    def close(self) -> None:
        self._client.close()


WAYS: dict[str, Callable[[str, str], Way]] = {
    "luxe": Luxe,
    "tritonclient": Tritonclient,
    "luxe asyncio": LuxeAsyncio,
    "tritonclient asyncio": TritonclientAsyncio,
    "iter_classify": IterClassify,
}


def _tensor(kind: Any, texts: Sequence[str]) -> Any:
    tensor = kind("text", [len(texts), 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[text.encode()] for text in texts], dtype=object))
    return tensor


def _labels(result: Any) -> list[str]:
    best, labels = result.as_numpy("scores").argmax(axis=1), result.as_numpy("labels")
    return [row[i].decode() for row, i in zip(labels, best, strict=True)]


def _batches(texts: Sequence[str], size: int) -> Iterator[Batch]:
    return iter([(i, texts[i : i + size]) for i in range(0, len(texts), size)])


def _threads(
    ask: Callable[[int, Sequence[str]], list[str]], texts: Sequence[str], callers: int, batch: int
) -> list[str]:
    labels = [""] * len(texts)
    left = _batches(texts, batch)

    def call(caller: int) -> None:
        for first, some in left:  # a list's iterator may be shared
            labels[first : first + len(some)] = ask(caller, some)

    others = [threading.Thread(target=call, args=(caller,)) for caller in range(1, callers)]
    for thread in others:
        thread.start()
    call(0)
    for thread in others:
        thread.join()
    return labels


async def _tasks(
    ask: Callable[[Sequence[str]], Awaitable[list[str]]], texts: Sequence[str], callers: int, batch: int
) -> list[str]:
    labels = [""] * len(texts)
    left = _batches(texts, batch)

    async def call() -> None:
        for first, some in left:
            labels[first : first + len(some)] = await ask(some)

    await asyncio.gather(*(call() for _ in range(callers)))
    return labels
