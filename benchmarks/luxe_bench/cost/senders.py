"""How a text reaches a server and how its answer is read, for each protocol.

Requests are bytes before the run, and answers stay bytes until after it, so that the generator costs little.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any, Protocol

import grpc
from tritonclient.grpc import service_pb2

from luxe_bench.cost.statistics import EXPIRED
from luxe_client import ProtocolError, _wire

__all__ = ["Grpc", "Http", "Reply", "Sender"]

_METHOD = "/inference.GRPCInferenceService/ModelInfer"
_CONNECTIONS = 4
_WIRE_GRACE_S = 30.0
"""As the client's: the wire gets this much more than the caller's deadline."""

Reply = tuple[str, bytes]
"""Status and body; the body of an error is empty."""


class Sender(Protocol):
    """Sends the i-th text, and later reads its answer."""

    async def send(self, i: int) -> Reply: ...

    async def close(self) -> None: ...

    def scores(self, i: int, body: bytes) -> list[float] | None:
        """Return the scores of the i-th text's answer; None where it is no answer to it."""


class Grpc:
    """What `luxe_client` sends, on a few connections.

    Args:
        timeout_s: the caller's deadline, which the request carries.
    """

    def __init__(self, address: str, model: str, texts: Sequence[str], timeout_s: float) -> None:
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
        self._channels = [grpc.aio.insecure_channel(address, options=options) for _ in range(_CONNECTIONS)]
        self._methods = [channel.unary_unary(_METHOD) for channel in self._channels]
        self._requests = [
            _wire.text_request(model, [text.encode()], timeout_s=timeout_s).SerializeToString() for text in texts
        ]
        self._wire_s = timeout_s + _WIRE_GRACE_S

    async def send(self, i: int) -> Reply:
        try:
            return "OK", await self._methods[i % _CONNECTIONS](self._requests[i], timeout=self._wire_s)
        except grpc.aio.AioRpcError as error:
            details = error.details() or ""
            # Late in Triton's queue or in luxe's; both have the status of a refusal; see luxe_client._errors.
            late = "timeout expired" in details or details.startswith("expired:")
            return EXPIRED if late and error.code() is grpc.StatusCode.UNAVAILABLE else error.code().name, b""

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()

    def scores(self, i: int, body: bytes) -> list[float] | None:
        request: Any = service_pb2.ModelInferRequest.FromString(self._requests[i])
        response: Any = service_pb2.ModelInferResponse.FromString(body)
        try:
            (answer,) = _wire.classifications(request, response, address="the server")
        except ProtocolError:
            return None
        return list(answer.scores.values())


class Http:
    """A JSON request a text, on connections that stay open: one for each request in flight."""

    def __init__(self, address: str, path: str, texts: Sequence[str]) -> None:
        self._host, _, port = address.rpartition(":")
        self._port = int(port)
        bodies = [json.dumps({"text": text}).encode() for text in texts]
        head = f"POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: "
        self._requests = [head.encode() + str(len(body)).encode() + b"\r\n\r\n" + body for body in bodies]
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def send(self, i: int) -> Reply:
        try:
            reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection(self._host, self._port)
            writer.write(self._requests[i])
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.lower().split(b"\r\n")
            length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
            body = await reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError, StopIteration) as error:
            return type(error).__name__, b""
        self._idle.append((reader, writer))
        code = head[9:12].decode()
        return ("OK", body) if code == "200" else (f"HTTP {code}", b"")

    async def close(self) -> None:
        for _, writer in self._idle:
            writer.close()

    def scores(self, i: int, body: bytes) -> list[float] | None:
        return list(json.loads(body).values())
