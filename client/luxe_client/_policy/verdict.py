"""What a failed request says of the request, of the model on that replica, and of the replica."""

from __future__ import annotations

import enum

from luxe_client._errors import (
    LuxeError,
    ModelNotFound,
    Overloaded,
    ServerError,
    Unavailable,
)

__all__ = ["Verdict", "unsent", "verdict"]


class Verdict(enum.Enum):
    """Who is to blame; `GONE` and `SICK` are worth another try, `BUSY` on another replica."""

    FINE = "the replica answered, and would say the same again"
    FAULT = "the model failed on this request; a second try might do harm again"
    BUSY = "the replica protects itself"
    SICK = "the model does not answer on this replica"
    GONE = "the replica does not answer"


# The server is there, and one of its models is not.
_OF_ONE_MODEL = ("is not healthy", "has no available versions")

# gRPC's own, where there is no connection, and none can be made.
_UNSENT = ("failed to connect to all addresses", "connections to all backends failing")


def unsent(error: LuxeError) -> bool:
    """Return whether a request never reached a server, so that another try is no load for any."""
    return isinstance(error, Unavailable) and any(words in str(error) for words in _UNSENT)


def verdict(error: LuxeError, *, seen_ready: bool) -> Verdict:
    """Judge a failure; ``seen_ready`` says that the model has answered before, here or on another replica."""
    if isinstance(error, Overloaded):
        return Verdict.BUSY
    if isinstance(error, Unavailable):
        return Verdict.SICK if any(words in str(error) for words in _OF_ONE_MODEL) else Verdict.GONE
    if isinstance(error, ModelNotFound):
        return Verdict.SICK if seen_ready else Verdict.FINE
    if isinstance(error, ServerError):
        return Verdict.FAULT
    return Verdict.FINE
