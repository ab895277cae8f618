"""What a run leaves: every call that was due, and everything that was done to the servers. Times are seconds from its
start."""

from __future__ import annotations

import dataclasses

__all__ = ["OK", "Call", "Event", "Phase"]

OK = "ok"


@dataclasses.dataclass
class Call:
    """One call, sent or not."""

    due_s: float
    sent_s: float | None = None
    """None: it never was."""
    done_s: float | None = None
    outcome: str | None = None
    """`OK`, or the name of the error's class; None: it never ended."""
    message: str | None = None
    """Of the error."""
    tries: int = 0
    """As the client's own record of the call says."""
    replica: str | None = None
    """That answered, or was asked last."""
    version: str | None = None
    """Of the model that answered."""
    wrong: bool = False
    """It was answered, but not with the known answer of its text."""

    @property
    def latency_ms(self) -> float | None:
        """From when it was due, not from when it was sent; None without an answer."""
        if self.outcome != OK or self.done_s is None:
            return None
        return (self.done_s - self.due_s) * 1e3


@dataclasses.dataclass(frozen=True)
class Event:
    """One thing that was done to a server."""

    at_s: float
    what: str
    replica: str


@dataclasses.dataclass(frozen=True)
class Phase:
    """A time in which one kind of thing was done, until all servers answered again."""

    name: str
    begin_s: float
    end_s: float
