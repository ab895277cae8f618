"""The luxe client: text in, typed answer out, over gRPC.

    from luxe_client import Client

    with Client("127.0.0.1:8001") as client:
        answer = client.classify("comment-intent", "Where can I buy these boots?")
        print(answer.label, answer.score, answer.needs_review)

It needs only numpy and tritonclient, keeps one connection, and may be shared by threads.
Every call has a deadline. Errors are drawn in `luxe_client.LuxeError`'s module.
"""

from luxe_client._client import Client
from luxe_client._errors import (
    DeadlineExceeded,
    InvalidInput,
    LuxeError,
    ModelNotFound,
    Overloaded,
    PermissionDenied,
    ProtocolError,
    ServerError,
    Unavailable,
)
from luxe_client._types import Classification

__all__ = [
    "Classification",
    "Client",
    "DeadlineExceeded",
    "InvalidInput",
    "LuxeError",
    "ModelNotFound",
    "Overloaded",
    "PermissionDenied",
    "ProtocolError",
    "ServerError",
    "Unavailable",
]
