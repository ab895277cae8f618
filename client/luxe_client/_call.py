"""One request from its first try to its end, without I/O: a shell sends what it is told to, and waits when told to.

`Exchange.run` is a generator. It yields an `Attempt`, which the shell sends, or a time of the clock until which the
shell waits. The shell sends in None when the time has come, or an attempt of this exchange that has landed before.
It returns what the request's part reads in the answer, or raises a `LuxeError`.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Generator, Sequence
from typing import Any, Generic, TypeVar

import grpc

from luxe_client import _errors
from luxe_client._errors import DeadlineExceeded, LuxeError, Unavailable
from luxe_client._hooks import CallRecord, OnCall, report
from luxe_client._options import Balancing, Hedge, Retry
from luxe_client._parts import Part
from luxe_client._policy.backoff import wait_s
from luxe_client._policy.budget import Budget
from luxe_client._policy.latency import Latencies
from luxe_client._policy.verdict import Verdict, verdict
from luxe_client._pool import Pool, Replica
from luxe_client._wire.requests import set_timeout

__all__ = ["Attempt", "Exchange", "Policy"]

_BUSY_S = 0.1
"""How long a replica that is overloaded gets less, where it does not say itself."""
_TOKEN_S = 0.02
"""How often a request that may not be sent again yet looks whether it may now."""
_SLACK_S = 0.001
"""What is looked at after a while is looked at a little later, so that the while has passed by any rounding."""
_HEDGE_RESERVE = 10
_QUANTILE = 0.95

_T = TypeVar("_T")


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
        self.pool = Pool(balancing)
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

    Attributes:
        part: what is asked.
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
        "push_back_s",
        "replica",
        "response",
        "verdict",
    )

    def __init__(self, policy: Policy, part: Part[Any], tried: Sequence[Replica], now: float) -> None:
        self._policy = policy
        self._sent = now
        # Whether a model is loaded is asked of the server, not of the model.
        self._model = part.model if part.method == "ModelInfer" else ""
        self.part = part
        self.replica, self._number = policy.pool.send(self._model, now, tried)
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


class Exchange(Generic[_T]):
    """One request.

    Args:
        policy: of the client.
        part: what is asked.
        deadline: of the clock; no try is sent after it.

    Attributes:
        tries: how often it was sent so far.
    """

    def __init__(self, policy: Policy, part: Part[_T], deadline: float) -> None:
        self.policy = policy
        self.part = part
        self.deadline = deadline
        self.tries = 0
        self._flying = 0
        self._failures = 0
        self._error: LuxeError | None = None
        self._replicas: list[Replica] = []
        self._sent_at = self._next_at = -math.inf
        # When to look whether what is in flight should be asked elsewhere too.
        self._second_at = math.inf

    def run(self) -> Generator[Attempt | float, Attempt | None, _T]:
        """Drive the request; see the module."""
        policy, clock = self.policy, self.policy.clock
        began = clock()
        policy.retries.earn()
        if policy.hedge is not None:
            policy.hedges.earn()
        try:
            answered = yield from self._run()
            answer = self.part.read(answered.response, answered.replica.address)
        except LuxeError as error:
            error.tries, error.elapsed_s = self.tries, clock() - began
            self._report(error.address, error.elapsed_s, type(error).__name__)
            raise
        self._report(answered.replica.address, clock() - began, "ok")
        return answer

    def _run(self) -> Generator[Attempt | float, Attempt | None, Attempt]:
        clock = self.policy.clock
        while True:
            now = clock()
            if now >= self._next_at and now < self.deadline:
                yield self._send(now)
                continue
            landed = yield min(self.deadline, self._next_at, self._second_at)
            now = clock()
            if landed is not None:
                self._flying -= 1
                if landed.error is None:
                    return landed
                self._failed(landed, landed.error, now)
            elif now >= self.deadline:
                raise self._late()
            elif now >= self._second_at:
                self._second(now)

    def _send(self, now: float) -> Attempt:
        try:
            attempt = Attempt(self.policy, self.part, self._replicas, now)
        except LookupError:
            raise Unavailable(f"{self.part.model}: there is no replica to ask", model=self.part.model) from None
        if self.part.method == "ModelInfer":
            set_timeout(self.part.request, self.deadline - now)
        self._sent_at, self._next_at, self._second_at = now, math.inf, math.inf
        self.tries += 1
        self._flying += 1
        self._replicas.append(attempt.replica)
        if len(self.policy.pool.replicas) > 1:
            slow_s = self.policy.latencies(self.part.model).slow_s if self.policy.hedge and self.tries == 1 else None
            stall_s = self.policy.balancing.stall_s
            self._second_at = now + (stall_s if slow_s is None else min(slow_s, stall_s)) + _SLACK_S
        return attempt

    def _failed(self, attempt: Attempt, error: LuxeError, now: float) -> None:
        """Raise, or say when to send again."""
        self._failures += 1
        self._error = error
        wait = self._wait_s(attempt, now)
        if self._flying and attempt.verdict is not Verdict.FINE:
            return  # another replica still has it
        if wait is None or now + wait >= self.deadline:
            raise error
        if self.policy.retries.spend():
            self._next_at, self._second_at = now + wait, math.inf
        elif self._others(now):
            self._second_at = now  # as soon as the budget allows it
        else:
            raise error

    def _wait_s(self, attempt: Attempt, now: float) -> float | None:
        """Return how long to wait before the next try; None when there must be none."""
        if attempt.verdict in (Verdict.FINE, Verdict.FAULT) or self._failures >= self.policy.retry.tries:
            return None
        if attempt.push_back_s is not None and attempt.push_back_s < 0:
            return None
        if self._others(now):
            return 0.0
        if attempt.push_back_s is not None:
            return attempt.push_back_s
        if attempt.verdict is Verdict.BUSY:
            return None
        retry = self.policy.retry
        return wait_s(self._failures, base_s=retry.base_s, longest_s=retry.longest_s, chance=self.policy.chance)

    def _second(self, now: float) -> None:
        """Ask another replica too, if one is well and a budget allows it; else say when to look again."""
        retry, stall_s = self.policy.retry, self.policy.balancing.stall_s
        budget = self.policy.retries
        if not self._flying:
            wanted, self._second_at = True, now + _TOKEN_S
        elif now < self._sent_at + stall_s:
            # The observed quantile has passed: the hedge, for which there is this one chance.
            wanted, self._second_at = True, self._sent_at + stall_s + _SLACK_S
            budget = self.policy.hedges
        else:
            wanted = 1 < retry.tries >= self.tries and all(r.stalled(now) for r in self._replicas)
            self._second_at = now + stall_s / 4
        if wanted and self._others(now) and budget.spend():
            self._next_at = now

    def _others(self, now: float) -> bool:
        return self.policy.pool.others(self.part.model, now, self._replicas)

    def _late(self) -> LuxeError:
        if self._error is not None and not self._flying:
            return self._error
        if not self._replicas:
            return DeadlineExceeded(
                f"{self.part.model}: the deadline passed before it was asked", model=self.part.model
            )
        where = self._replicas[-1].address
        message = f"{self.part.model} at {where}: no answer before the deadline"
        return DeadlineExceeded(message, model=self.part.model, address=where)

    def _report(self, replica: str | None, seconds: float, outcome: str) -> None:
        if self.policy.on_call is not None:
            report(self.policy.on_call, CallRecord(self.part.model, replica, self.tries, seconds, outcome))
