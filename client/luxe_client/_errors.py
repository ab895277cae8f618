"""Everything a call may raise.

LuxeError                            as its message says
├── InvalidInput (ValueError)        wrong in itself: fix the request, never send it again
├── ModelNotFound                    the server has no such model, or not yet: check the name, or wait
├── Unavailable                      no server answers, or it is stopping: try again in a moment
│   └── Overloaded                   the server refused the request to protect itself: slow down
├── DeadlineExceeded (TimeoutError)  no answer within ``timeout_s``: give it more time, or less to do
├── PermissionDenied                 no trust, in one direction or the other: check credentials and certificates
└── ServerError                      it failed: look into the server's log
    └── ProtocolError                its answer is none that this client knows: update the older of client and server
"""

from __future__ import annotations

from typing import ClassVar

import grpc

__all__ = [
    "DeadlineExceeded",
    "InvalidInput",
    "LuxeError",
    "ModelNotFound",
    "Overloaded",
    "PermissionDenied",
    "ProtocolError",
    "ServerError",
    "Unavailable",
    "from_status",
]


class LuxeError(Exception):
    """Root of the tree; the message is one line.

    Attributes:
        advice: what to do about an error of this class.
        model: the model that was called, if any.
        address: the replica that was asked last, ``host:port``; None where none was asked.
        tries: how often the request was sent.
        elapsed_s: seconds from the call to this error.
    """

    advice: ClassVar[str] = "as its message says"

    def __init__(
        self,
        message: str,
        *,
        model: str | None = None,
        address: str | None = None,
        tries: int = 0,
        elapsed_s: float = 0.0,
    ) -> None:
        super().__init__(message)
        self.model = model
        self.address = address
        self.tries = tries
        self.elapsed_s = elapsed_s

    @property
    def replica(self) -> str | None:
        """The same as ``address``."""
        return self.address

    def __str__(self) -> str:
        message = super().__str__()
        return message if self.tries < 2 else f"{message} ({self.tries} tries in {self.elapsed_s:.2f} s)"


class InvalidInput(LuxeError, ValueError):
    """The request itself is wrong; the same request will fail again."""

    advice = "fix the request, never send it again"


class ModelNotFound(LuxeError):
    """The server does not know the model or the version, or is still loading it."""

    advice = "check the name, or wait"


class Unavailable(LuxeError):
    """No server answers at the address, or it is starting or stopping."""

    advice = "try again in a moment"


class Overloaded(Unavailable):
    """The server's queue is full; it refused the request at once."""

    advice = "slow down"


class DeadlineExceeded(LuxeError, TimeoutError):
    """There was no answer within ``timeout_s``."""

    advice = "give it more time, or less to do"


class PermissionDenied(LuxeError):
    """The server wants credentials that the call did not carry."""

    advice = "check credentials and certificates"


class ServerError(LuxeError):
    """The server failed on a request that it should have been able to answer."""

    advice = "look into the server's log"


class ProtocolError(ServerError):
    """The answer is not one that this client understands."""

    advice = "update the older of client and server"


# Total over grpc.StatusCode, OK aside; a test holds it against the enumeration.
_BY_STATUS: dict[grpc.StatusCode, type[LuxeError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidInput,
    grpc.StatusCode.OUT_OF_RANGE: InvalidInput,
    grpc.StatusCode.NOT_FOUND: ModelNotFound,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Overloaded,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.UNAUTHENTICATED: PermissionDenied,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    # This client never cancels; a server that stops does (server#6230).
    grpc.StatusCode.CANCELLED: Unavailable,
    grpc.StatusCode.UNKNOWN: ServerError,
    grpc.StatusCode.ALREADY_EXISTS: ServerError,
    grpc.StatusCode.FAILED_PRECONDITION: ServerError,
    grpc.StatusCode.ABORTED: ServerError,
    grpc.StatusCode.UNIMPLEMENTED: ServerError,
    grpc.StatusCode.INTERNAL: ServerError,
    grpc.StatusCode.DATA_LOSS: ServerError,
}

# Triton has one status for several causes; its words tell them apart.
# An unknown model: "Request for unknown model: 'x' is not found" (model_repository_manager.cc).
# A full queue: "Exceeds maximum queue size" and a queue timeout: "Request timeout expired" (scheduler_utils.cc).
_BY_WORDS: tuple[tuple[grpc.StatusCode, str, type[LuxeError]], ...] = (
    (grpc.StatusCode.UNAVAILABLE, "unknown model", ModelNotFound),
    (grpc.StatusCode.UNAVAILABLE, "xceeds maximum queue size", Overloaded),
    (grpc.StatusCode.UNAVAILABLE, "timeout expired", DeadlineExceeded),
    # luxe's own scheduler: what would be late is refused at once; what is late all the same is not computed.
    (grpc.StatusCode.UNAVAILABLE, "overloaded:", Overloaded),
    (grpc.StatusCode.UNAVAILABLE, "expired:", DeadlineExceeded),
    # A backend process has died, which this server does not repair (server#8604): another replica may answer.
    (grpc.StatusCode.INTERNAL, "is not healthy", Unavailable),
    # A server that stops takes its models away first (server#6230), and has "no available versions" of them;
    # a model that it never had is "not found".
    (grpc.StatusCode.NOT_FOUND, "has no available versions", Unavailable),
    # The same server refuses a model's call to its engine.
    (grpc.StatusCode.INTERNAL, "Server not ready", Unavailable),
    # gRPC's own, for a connection that ended under a call.
    (grpc.StatusCode.UNKNOWN, "Stream removed", Unavailable),
    # gRPC's own, for a client that was closed under a call.
    (grpc.StatusCode.CANCELLED, "hannel closed", LuxeError),
    # Triton's, for a protocol that only the holder of a key may use, such as the list of models.
    (grpc.StatusCode.UNAVAILABLE, "protocol is restricted", PermissionDenied),
    # gRPC's own, for a server whose certificate is not trusted, or that does not trust ours.
    (grpc.StatusCode.UNAVAILABLE, "CERTIFICATE_VERIFY_FAILED", PermissionDenied),
    # gRPC's own, for a request over the client's or the server's limit.
    (grpc.StatusCode.RESOURCE_EXHAUSTED, "larger than max", InvalidInput),
)


def from_status(status: grpc.StatusCode, details: str, *, model: str, address: str) -> LuxeError:
    """Return the error for a gRPC status; ``details`` is the server's own text."""
    kind = _BY_STATUS[status]
    for word_status, words, word_kind in _BY_WORDS:
        if status is word_status and words in details:
            kind = word_kind
    message = f"{model} at {address}: {details or status.name}"
    return kind(" ".join(message.split()), model=model, address=address)
