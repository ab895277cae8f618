"""The luxe client: text in, typed answer out, over gRPC.

    from luxe_client import Client

    with Client("127.0.0.1:8001") as client:
        answer = client.classify("comment-intent", "Where can I buy these boots?")
        print(answer.label, answer.score, answer.needs_review)

It needs only numpy and tritonclient. `AsyncClient` has the same methods. Every call has a deadline, which all of its
tries share. Errors are drawn in `luxe_client.LuxeError`'s module. `luxe_client.testing` has a server for tests.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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
from luxe_client._hooks import CallRecord
from luxe_client._options import TLS, Balancing, Hedge, Retry
from luxe_client._types import (
    Answer,
    Classification,
    Entity,
    Labels,
    Model,
    Ranked,
    Ranking,
    RawAnswer,
    Score,
    Tags,
    Timings,
    ZeroShot,
    ZeroShotLabels,
)

if TYPE_CHECKING:
    from luxe_client._async_client import AsyncClient
    from luxe_client._client import Client
else:  # hidden from type checkers, which would take any name for one of ours
    _CLIENTS = {"AsyncClient": "luxe_client._async_client", "Client": "luxe_client._client"}

    def __getattr__(name: str) -> Any:
        # Who uses one of them does not wait for the other.
        if name not in _CLIENTS:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(_CLIENTS[name]), name)
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *_CLIENTS})


__all__ = [
    "TLS",
    "Answer",
    "AsyncClient",
    "Balancing",
    "CallRecord",
    "Classification",
    "Client",
    "DeadlineExceeded",
    "Entity",
    "Hedge",
    "InvalidInput",
    "Labels",
    "LuxeError",
    "Model",
    "ModelNotFound",
    "Overloaded",
    "PermissionDenied",
    "ProtocolError",
    "Ranked",
    "Ranking",
    "RawAnswer",
    "Retry",
    "Score",
    "ServerError",
    "Tags",
    "Timings",
    "Unavailable",
    "ZeroShot",
    "ZeroShotLabels",
]
