"""What a caller may choose: frozen, and checked once, when made."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from luxe_client._errors import InvalidInput

__all__ = ["TLS", "Balancing", "Hedge", "Retry", "check_between", "check_headers", "check_timeout"]


@dataclasses.dataclass(frozen=True)
class Retry:
    """How failed requests are tried again; what may be tried is not a choice, see `luxe_client._policy.verdict`.

    Attributes:
        tries: most tries of a request, the first one included; 1 never retries.
        budget: retries over requests, at most, in the long run. A request that found no connection has reached no
            server, and may go to a replica that it was not sent to yet without counting.
        reserve: retries that the budget holds at the start, and at most.
        base_s: upper bound of the first wait before the same replica is tried again; it doubles each time.
        longest_s: upper bound of any wait.
    """

    tries: int = 3
    budget: float = 0.1
    reserve: int = 20
    base_s: float = 0.02
    longest_s: float = 1.0

    def __post_init__(self) -> None:
        check_between("tries", self.tries, 1, 10)
        check_between("budget", self.budget, 0, 1)
        check_between("reserve", self.reserve, 1, 1000)
        check_between("longest_s", self.longest_s, 0.001, 60)
        check_between("base_s", self.base_s, 0.001, self.longest_s)


@dataclasses.dataclass(frozen=True)
class Hedge:
    """Ask a second replica when the first is slower than nearly all answers were; the first answer wins.

    Attributes:
        budget: hedges over requests, at most, in the long run.
        quantile: of a model's latencies seen by this client; a request that is slower is hedged.
    """

    budget: float = 0.05
    quantile: float = 0.95

    def __post_init__(self) -> None:
        check_between("budget", self.budget, 0, 1)
        check_between("quantile", self.quantile, 0.5, 0.999)


@dataclasses.dataclass(frozen=True)
class TLS:
    """How to trust the server, and with ``cert`` and ``key`` how it trusts the client. Files in PEM.

    Attributes:
        ca: certificates of the authorities; None for those that come with gRPC.
        cert: the client's own chain of certificates.
        key: its private key.
        server_name: the name in the server's certificate, where it is not the host of the target.
    """

    ca: str | Path | None = None
    cert: str | Path | None = None
    key: str | Path | None = dataclasses.field(default=None, repr=False)
    server_name: str | None = None

    def __post_init__(self) -> None:
        if (self.cert is None) != (self.key is None):
            raise InvalidInput("TLS needs cert and key together, or neither")
        for path in [path for path in (self.ca, self.cert, self.key) if path is not None]:
            if not Path(path).is_file():
                raise InvalidInput(f"TLS: {path} is not a file")


@dataclasses.dataclass(frozen=True)
class Balancing:
    """Which replica gets a request, and when one is left alone.

    Attributes:
        policy: in turn, or the one with the fewest requests of this client in flight.
        eject_after: failures in a row after which a model is left alone on a replica. A replica that cannot be
            reached, or says that it stops, is left alone at once.
        eject_s: for how long at first, before it is probed; it doubles with each failed probe.
        longest_s: upper bound of that.
        stall_s: a replica that answered nothing for so long, while a request waits, gets no more, and what waits there
            is asked elsewhere too, within the budget of `Retry`.
        resolve_s: how often names are resolved again.
    """

    policy: Literal["round_robin", "least_pending"] = "round_robin"
    eject_after: int = 5
    eject_s: float = 0.25
    longest_s: float = 10.0
    stall_s: float = 1.0
    resolve_s: float = 10.0

    def __post_init__(self) -> None:
        if self.policy not in ("round_robin", "least_pending"):
            raise InvalidInput(f"policy is {self.policy!r}, not 'round_robin' or 'least_pending'")
        check_between("eject_after", self.eject_after, 1, 1000)
        check_between("longest_s", self.longest_s, 0.01, 3600)
        check_between("eject_s", self.eject_s, 0.01, self.longest_s)
        check_between("stall_s", self.stall_s, 0.01, 3600)
        check_between("resolve_s", self.resolve_s, 0.01, 86_400)


def check_timeout(timeout_s: float) -> float:
    """Return a deadline of a call, in seconds.

    Raises:
        InvalidInput: it is not a usable number.
    """
    if not _is_number(timeout_s) or not 0 < timeout_s < 86_400:
        raise InvalidInput(f"timeout_s is {timeout_s}, not between 0 and 86,400 seconds")
    return float(timeout_s)


def check_between(name: str, value: float, least: float, most: float) -> None:
    """Raise InvalidInput unless ``value`` is a number from ``least`` to ``most``; whole where ``least`` is whole."""
    if not _is_number(value) or not least <= value <= most:
        raise InvalidInput(f"{name} is {value!r}, not a number from {least:g} to {most:g}")


def check_headers(headers: Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    """Return headers as gRPC metadata, names in lower case.

    Raises:
        InvalidInput: a name or value that HTTP/2 does not carry, or a name that is gRPC's own.
    """
    checked = []
    for name, value in (headers or {}).items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise InvalidInput(f"header {name!r} is not a str with a str")
        lower = name.lower()
        plain = lower and all(c.isascii() and (c.isalnum() or c in "-_.") for c in lower)
        if not plain or lower.startswith("grpc-") or lower.endswith("-bin"):
            raise InvalidInput(f"header {name!r} cannot be sent: letters, digits, '-', '_', '.'; not grpc-…, not …-bin")
        if not all(" " <= c <= "~" for c in value):
            raise InvalidInput(f"header {name!r} has a value that is not printable ASCII")
        checked.append((lower, value))
    return tuple(checked)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
