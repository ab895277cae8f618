"""Bytes to a server as they are, over gRPC and HTTP: what no client library would send."""

import contextlib
import dataclasses
import json
import math
import socket

import grpc
import numpy as np
from tritonclient.grpc import service_pb2

_REPLY_S = 60.0
_METADATA_BYTES = 1 << 20
"""Triton puts the message of an error, with what was sent to it, into HTTP/2 headers."""


@dataclasses.dataclass(frozen=True)
class Call:
    """One request."""

    kind: str
    protocol: str
    target: str
    """gRPC method, or HTTP method and path."""
    body: bytes
    head: tuple[bytes, ...] = ()
    """Further HTTP header lines; a Content-Length replaces the right one."""
    ends: bool = False
    """It breaks the framing, so its connection is over: it is the last that the server reads there."""

    def __str__(self):
        return f"{self.kind}: {self.protocol} {self.target[:200]} {[h[:200] for h in self.head]} {self.body[:2000]!r}"


@dataclasses.dataclass(frozen=True)
class Reply:
    """What came back: a status, ``OK`` or 200 for an answer, ``closed`` or ``silent`` for none."""

    protocol: str
    status: str
    body: bytes

    @property
    def answered(self):
        return self.status in ("OK", "200")

    @property
    def refused_as_invalid(self):
        return self.status == "INVALID_ARGUMENT" or (self.protocol == "http" and self.status[0] == "4")

    @property
    def scores(self):
        """What was answered as scores or logits, row by row, or None: something else was asked for."""
        if self.protocol == "grpc":
            answer = service_pb2.ModelInferResponse.FromString(self.body)
            found = [
                np.frombuffer(raw, np.float32).reshape(tuple(output.shape))
                for output, raw in zip(answer.outputs, answer.raw_output_contents, strict=True)
                if output.datatype == "FP32"
            ]
        else:
            with contextlib.suppress(ValueError):  # the binary extension was asked for
                outputs = json.loads(self.body)["outputs"]
                found = [np.array(o["data"]).reshape(o["shape"]) for o in outputs if o["datatype"] == "FP32"]
                return found[0] if found else None
            return None
        return found[0] if found else None

    def __str__(self):
        return f"{self.status} {self.body[:500]!r}"


class Wire:
    """One connection of each protocol, kept alive; for one thread."""

    def __init__(self, address):
        self._address = address
        self._channel = grpc.insecure_channel(
            address.grpc,
            options=[
                ("grpc.max_send_message_length", -1),
                ("grpc.absolute_max_metadata_size", _METADATA_BYTES),
                ("grpc.max_metadata_size", _METADATA_BYTES),
                ("grpc.use_local_subchannel_pool", 1),
            ],
        )
        self._socket = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._channel.close()
        self._hang_up()

    def send(self, call):
        return self._grpc(call) if call.protocol == "grpc" else self._http(call)

    def _grpc(self, call):
        try:
            body = self._channel.unary_unary(f"/inference.GRPCInferenceService/{call.target}")(
                call.body, timeout=_REPLY_S
            )
        except grpc.RpcError as error:
            return Reply("grpc", error.code().name, error.details().encode())
        return Reply("grpc", "OK", body)

    def _http(self, call):
        if self._socket is None:
            self._socket = socket.create_connection((self._address.host, self._address.http_port), timeout=_REPLY_S)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        lines = [f"{call.target} HTTP/1.1".encode("latin-1"), b"Host: test", *call.head]
        if not any(line.lower().startswith((b"content-length:", b"transfer-encoding:")) for line in call.head):
            lines.append(b"Content-Length: %d" % len(call.body))
        try:
            self._socket.sendall(b"\r\n".join([*lines, b"", call.body]))
            if call.ends:
                self._socket.shutdown(socket.SHUT_WR)
            status, body, keep = self._read(head_only=call.target.startswith("HEAD "))
        except TimeoutError:
            status, body, keep = "silent", b"", False
        except (OSError, EOFError):  # also of a socket that is closed already
            status, body, keep = "closed", b"", False
        if call.ends or not keep:
            self._hang_up()
        return Reply("http", status, body)

    def _read(self, *, head_only):
        """Return status, body, and whether the connection goes on."""
        head, _, body = self._until(b"", lambda data: b"\r\n\r\n" in data).partition(b"\r\n\r\n")
        lines = [line.lower() for line in head.split(b"\r\n")]
        sizes = [int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")]
        size = 0 if head_only else sizes[0] if sizes else math.inf
        body = self._until(body, lambda data: len(data) >= size)
        return lines[0].split()[1].decode(), body, b"connection: close" not in lines

    def _until(self, data, enough):
        while not enough(data):
            more = self._socket.recv(1 << 20)
            if not more:
                raise EOFError
            data += more
        return data

    def _hang_up(self):
        if self._socket is not None:
            self._socket.close()
            self._socket = None
