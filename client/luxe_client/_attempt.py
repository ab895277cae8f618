"""What all requests of a client share, and one sending of one of them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import grpc

from luxe_client import _errors
from luxe_client._errors import LuxeError
from luxe_client._hooks import OnCall
from luxe_client._options import Balancing, Hedge, Retry
from luxe_client._parts import Part
from luxe_client._policy.budget import Budget
from luxe_client._policy.latency import Latencies
from luxe_client._policy.verdict import Verdict, verdict
from luxe_client._pool import Pool, Replica
from luxe_client._wire import messages

__all__ = ["Attempt", "Policy", "Question"]

_BUSY_S = 0.1
"""How long a replica that is overloaded gets less, where it does not say itself."""
_HEDGE_RESERVE = 10
_QUANTILE = 0.95


class Policy:
    """What all requests of a client share: replicas, budgets, latencies, and which models have answered.

    Args:
        clock: seconds, monotonic.
        chance: a number from 0 to 1.
    """

    def __init__(
        self,
        retry: Retry,
        hedge: Hedge | None,
        balancing: Balancing,
        on_call: OnCall | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.retry = retry
        self.hedge = hedge
        self.balancing = balancing
        self.clock = clock
        self.chance = chance
        self.pool = Pool(balancing, copies=retry.tries > 1)
        self.retries = Budget(retry.budget, retry.reserve)
        self.hedges = Budget(hedge.budget if hedge else 0.0, _HEDGE_RESERVE)
        self.on_call = on_call
        self.answered: set[str] = set()
        self._latencies: dict[str, Latencies] = {}

    def latencies(self, model: str) -> Latencies:
        """Return how long a model's answers took."""
        found = self._latencies.get(model)
        if found is None:
            quantile = self.hedge.quantile if self.hedge else _QUANTILE
            found = self._latencies.setdefault(model, Latencies(quantile))
        return found


class Attempt:
    """One sending of a request. The shell calls `succeeded` or `failed` when it has landed, however late, and from any
    thread; then it hands the attempt to the exchange, if that still runs.

    Args:
        policy: of the client.
        part: what is asked.
        replica: where it goes.
        number: by which the pool knows it.
        now: when it is sent.
        probe: its only end is to learn of the replica; no caller waits for it.

    Attributes:
        part: what is asked.
        probe: as told.
        replica: where it goes.
        response: the answer, once there is one.
        error: why there is none.
        verdict: on the error.
        push_back_s: how long the server wants to be left alone; negative when it wants no retry at all.
    """

    __slots__ = (
        "_model",
        "_number",
        "_policy",
        "_sent",
        "error",
        "part",
        "probe",
        "push_back_s",
        "replica",
        "response",
        "verdict",
    )

    def __init__(
        self, policy: Policy, part: Part[Any], replica: Replica, number: int, now: float, *, probe: bool = False
    ) -> None:
        self._policy = policy
        self._number = number
        self._sent = now
        # Whether a model is loaded is asked of the server, not of the model.
        self._model = part.asked
        self.part = part
        self.replica = replica
        self.probe = probe
        self.response: Any = None
        self.error: LuxeError | None = None
        self.verdict: Verdict | None = None
        self.push_back_s: float | None = None

    def succeeded(self, response: Any) -> None:
        """Note the answer."""
        policy, model = self._policy, self._model
        now = policy.clock()
        self.response = response
        if model:
            policy.answered.add(model)
            if not self.probe:  # a server that has just started is slow
                policy.latencies(model).add(now - self._sent)
        policy.pool.landed(self.replica, self._number, model, now, None)

    def failed(self, status: grpc.StatusCode, details: str, push_back: str | None = None) -> None:
        """Note the status; ``push_back`` is the server's trailer ``grpc-retry-pushback-ms``."""
        if push_back is not None:
            # Anything that is no number says not to retry (gRFC A6).
            self.push_back_s = int(push_back) / 1e3 if push_back.isdecimal() else -1.0
        self.refused(_errors.from_status(status, details, model=self.part.model, address=self.replica.address))

    def refused(self, error: LuxeError) -> None:
        """Note an error that is no status."""
        policy = self._policy
        self.error = error
        self.verdict = verdict(error, seen_ready=self._model in policy.answered)
        busy_s = _BUSY_S if self.push_back_s is None else max(0.0, self.push_back_s)
        policy.pool.landed(self.replica, self._number, self._model, policy.clock(), self.verdict, busy_s)


class Question(Attempt):
    """Asks a replica whether it has a model ready: a probe that costs next to nothing."""

    __slots__ = ()

    def __init__(self, policy: Policy, model: str, replica: Replica, number: int, now: float) -> None:
        part = Part(
            model, "ModelReady", messages.service_pb2.ModelReadyRequest(name=model), lambda response, _: response
        )
        super().__init__(policy, part, replica, number, now, probe=True)

    def succeeded(self, response: Any) -> None:
        """Note what it says."""
        self._probed(bool(response.ready))

    def refused(self, error: LuxeError) -> None:
        """Note that it does not say; only a request can tell then, unless nobody is there."""
        said = verdict(error, seen_ready=True)
        if said is Verdict.GONE:
            self._policy.pool.landed(self.replica, self._number, "", self._policy.clock(), said)
        else:
            self._probed(said is not Verdict.SICK)

    def _probed(self, ready: bool) -> None:
        policy = self._policy
        policy.pool.probed(self.replica, self._number, self.part.model, policy.clock(), ready=ready)
