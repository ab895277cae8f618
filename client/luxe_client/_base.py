"""What both clients are before they do any I/O: their options, checked, and the rules of every call."""

from __future__ import annotations

import abc
import os
from collections.abc import Callable, Mapping, Sequence

from luxe_client import _targets
from luxe_client._attempt import Policy
from luxe_client._directory import Directory
from luxe_client._errors import DeadlineExceeded, InvalidInput, LuxeError
from luxe_client._hooks import OnCall, trace_headers
from luxe_client._options import TLS, Balancing, Hedge, Retry, check_between, check_headers, check_timeout
from luxe_client._parts import Asked

__all__ = ["BaseClient", "Headers", "Metadata", "Seconds", "Waiting"]

Headers = Mapping[str, str] | None
"""Sent with one call, before the client's own."""

Seconds = float | None
"""Of a call; None for the client's own."""

Metadata = tuple[tuple[str, str], ...]

_LOOK_AGAIN_S = 0.1
_LOOK_S = 2.0

_ONCE = Retry(tries=1)


class BaseClient(abc.ABC):
    """The options of a client.

    Args:
        targets: ``host:port`` of a server's gRPC port, or several. A name stands for every address that it has.
        timeout_s: deadline of a call in seconds, all of its requests and tries together.
        retry: how failed requests are tried again; None never does.
        hedge: whether slow requests are asked elsewhere too; None does not.
        tls: how the connection is encrypted; None does not, which is for networks that do.
        headers: sent with every call.
        balancing: which replica gets a request.
        batch_size: most texts in one request; a longer list is split.
        concurrency: most requests of one list in flight.
        on_call: called with a `CallRecord` at the end of every request, in whatever thread that is.

    Raises:
        InvalidInput: an argument is not usable.
    """

    def __init__(
        self,
        targets: str | Sequence[str],
        *,
        timeout_s: float = 5.0,
        retry: Retry | None = Retry(),  # noqa: B008  # frozen
        hedge: Hedge | None = None,
        tls: TLS | None = None,
        headers: Mapping[str, str] | None = None,
        balancing: Balancing = Balancing(),  # noqa: B008  # frozen
        batch_size: int = 32,
        concurrency: int = 4,
        on_call: OnCall | None = None,
    ) -> None:
        self._targets = _targets.parse(targets)
        self._timeout_s = check_timeout(timeout_s)
        self._headers = check_headers(headers)
        for name, value, kind in (
            ("retry", retry, Retry),
            ("hedge", hedge, Hedge),
            ("tls", tls, TLS),
            ("balancing", balancing, Balancing),
        ):
            if not isinstance(value, kind) and (value is not None or kind is Balancing):
                raise InvalidInput(f"{name} is {type(value).__name__}, not {kind.__name__}")
        check_between("batch_size", batch_size, 1, 100_000)
        check_between("concurrency", concurrency, 1, 1000)
        self._batch_size = batch_size
        self._concurrency = concurrency
        self._tls = tls
        self._policy = Policy(retry or _ONCE, hedge, balancing, on_call)
        self._directory = Directory(self._targets, self._policy.pool, balancing.resolve_s, self._policy.clock())
        self._made_in = os.getpid()
        self._closed = False
        self._open()

    @abc.abstractmethod
    def _open(self) -> None:
        """Make ready to connect, without doing so."""

    @property
    def address(self) -> str:
        """The targets as they were given, with commas between them."""
        return ",".join(target.text for target in self._targets)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.address}>"

    def _deadline(self, timeout_s: float | None) -> float:
        """Return when a call must end, by the policy's clock."""
        timeout_s = self._timeout_s if timeout_s is None else check_timeout(timeout_s)
        return self._policy.clock() + timeout_s

    def _asked(self, model: str, headers: Mapping[str, str] | None = None, *, bulk: bool = False) -> Asked:
        if not isinstance(model, str) or not model:
            raise InvalidInput(f"model is {model!r}, not the name of a model")
        request_id = next((value for name, value in (headers or {}).items() if name.lower() == "x-request-id"), "")
        return Asked(model, self._batch_size, request_id, bulk)

    def _metadata(self, headers: Mapping[str, str] | None) -> Metadata:
        """Return the headers of a call: its own before the client's, and the current trace if neither names one."""
        if not headers and not self._headers:
            return tuple(trace_headers())
        own = {**dict(self._headers), **dict(check_headers(headers))}
        if "traceparent" not in own:
            own.update(trace_headers())
        return tuple(own.items())

    def _check_stream(self, window: int, timeout_s: float) -> float:
        check_between("window", window, 1, 10_000)
        self._check_usable()
        return check_timeout(timeout_s)

    def _own_process(self) -> bool:
        return os.getpid() == self._made_in

    def _check_usable(self) -> None:
        """Raise LuxeError if the client is closed, or belongs to the process that this one was forked from."""
        if self._closed:
            raise LuxeError(f"the client of {self.address} is closed")
        if not self._own_process():
            raise LuxeError(
                f"the client of {self.address} was made in process {self._made_in} and does not work in {os.getpid()}, "
                "which was forked from it: make one in each process"
            )


class Waiting:
    """Looks at one model after the other until all are ready; the shell asks and sleeps.

    Args:
        clock: seconds, monotonic.
        timeout_s: for all.
        models: that must be ready; the server itself where there is none.

    Raises:
        InvalidInput: ``timeout_s`` or ``models`` is not usable.
    """

    def __init__(self, clock: Callable[[], float], timeout_s: float, models: Sequence[str]) -> None:
        if isinstance(models, str):
            raise InvalidInput(f"models is the str {models!r}, not a list of names")
        self._clock = clock
        self._timeout_s = check_timeout(timeout_s)
        self._deadline = clock() + timeout_s
        self._missing = list(models) or [""]
        self.pause_s = 0.0

    @property
    def missing(self) -> str | None:
        """The model to ask for, empty for the server itself; None when all are ready."""
        return self._missing[0] if self._missing else None

    @property
    def each_s(self) -> float:
        """How long to wait for an answer."""
        return max(0.001, min(_LOOK_S, self._deadline - self._clock()))

    def heard(self, ready: bool, error: LuxeError | None = None) -> None:
        """Take an answer, or why there is none.

        Raises:
            DeadlineExceeded: there is no time to ask again.
        """
        if ready:
            del self._missing[0]
            self.pause_s = 0.0
            return
        self.pause_s = _LOOK_AGAIN_S
        if self._clock() + self.pause_s >= self._deadline:
            what = self._missing[0] or "the server"
            why = error or "it is not loaded"
            raise DeadlineExceeded(f"{what} is not ready after {self._timeout_s:g} s: {why}", model=what) from error
