"""The synchronous client: the one place that does I/O."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, overload

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from luxe_client import _wire
from luxe_client._errors import DeadlineExceeded, InvalidInput, LuxeError, from_status
from luxe_client._types import Classification

__all__ = ["Client"]

# The embedded Triton may crash when a deadline passes on the wire (server issues 7368 and 8034, fixed in
# 2.54 to 2.59). So the wire gets this much more, and the caller's deadline is kept here, without a cancel.
_WIRE_GRACE_S = 30.0

_MESSAGE_BYTES = 64 * 2**20
_CHANNEL_OPTIONS = [
    ("grpc.max_send_message_length", _MESSAGE_BYTES),
    ("grpc.max_receive_message_length", _MESSAGE_BYTES),
    # A server ends a connection that is pinged more often than every 300 s.
    ("grpc.keepalive_time_ms", 310_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # A service inside the cluster is never behind the proxy for the outside.
    ("grpc.enable_http_proxy", 0),
]


class Client:
    """A connection to a luxe server. Threads may share it.

    Args:
        address: ``host:port`` of the server's gRPC port.
        timeout_s: deadline of a call, in seconds, all of its requests together.
        batch_size: most texts sent in one request; a longer list is split.

    Raises:
        InvalidInput: an argument is not usable.
    """

    def __init__(self, address: str, *, timeout_s: float = 5.0, batch_size: int = 32) -> None:
        host, _, port = address.rpartition(":")
        scheme = re.match(r"(?!dns:)[a-z]+://", host)
        if not host or scheme or not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65_536:
            raise InvalidInput(f"address {address!r} is not host:port, such as 127.0.0.1:8001")
        if batch_size < 1:
            raise InvalidInput(f"batch_size is {batch_size}, not 1 or more")
        _check_timeout(timeout_s)
        self.address = address
        self._timeout_s = timeout_s
        self._batch_size = batch_size
        self._channel = grpc.insecure_channel(address, options=_CHANNEL_OPTIONS)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    @overload
    def classify(  # type: ignore[overload-overlap]  # a str is a Sequence[str] too; the first one wins
        self, model: str, texts: str, *, timeout_s: float | None = None
    ) -> Classification: ...

    @overload
    def classify(self, model: str, texts: Sequence[str], *, timeout_s: float | None = None) -> list[Classification]: ...

    def classify(
        self, model: str, texts: str | Sequence[str], *, timeout_s: float | None = None
    ) -> Classification | list[Classification]:
        """Classify one text, or a list of texts; the answer has the same form, in the same order.

        Args:
            model: name of a text-classification model.
            texts: one text, or any number of them.
            timeout_s: deadline of this call in seconds; the client's own when None.

        Raises:
            LuxeError: one of its kinds, as drawn in `luxe_client._errors`.
        """
        deadline = self._deadline(timeout_s)
        one = isinstance(texts, str)
        encoded = _wire.encode_texts([texts] if one else texts, model=model)  # type: ignore[list-item]
        answers: list[Classification] = []
        for start in range(0, len(encoded), self._batch_size):
            batch = encoded[start : start + self._batch_size]
            request = _wire.text_request(model, batch, timeout_s=deadline - time.monotonic())
            response = self._call(self._stub.ModelInfer, request, deadline, model)
            answers += _wire.classifications(request, response, address=self.address)
        return answers[0] if one else answers

    def ready(self, model: str, *, timeout_s: float | None = None) -> bool:
        """Return whether the server has ``model`` loaded; False as well when no server answers."""
        request = service_pb2.ModelReadyRequest(name=model)
        deadline = self._deadline(timeout_s)
        try:
            response = self._call(self._stub.ModelReady, request, deadline, model)
        except LuxeError:
            return False
        return bool(response.ready)

    def close(self) -> None:
        """Close the connection; calls in flight fail."""
        self._channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _deadline(self, timeout_s: float | None) -> float:
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        _check_timeout(timeout_s)
        return time.monotonic() + timeout_s

    def _call(self, method: Any, request: Any, deadline: float, model: str) -> Any:
        """Send one request; the only place where a gRPC status becomes an error."""
        left_s = deadline - time.monotonic()
        try:
            call = method.future(request, timeout=max(left_s, 0.0) + _WIRE_GRACE_S)
            # grpcio cancels a call on the wire when its last reference goes; a callback keeps one until it ends.
            call.add_done_callback(_nothing)
            return call.result(timeout=left_s)
        except grpc.FutureTimeoutError:
            message = f"{model} at {self.address}: no answer before the deadline"
            raise DeadlineExceeded(message, model=model, address=self.address) from None
        except grpc.RpcError as error:
            status, details = error.code(), error.details()
            raise from_status(status, details or "", model=model, address=self.address) from None
        except ValueError as error:  # gRPC's own word for a closed channel
            raise LuxeError(f"the client is closed: {error}", model=model, address=self.address) from None


def _nothing(_call: Any) -> None:
    pass


def _check_timeout(timeout_s: float) -> None:
    if not 0 < timeout_s < 86_400:
        raise InvalidInput(f"timeout_s is {timeout_s}, not between 0 and 86,400 seconds")
