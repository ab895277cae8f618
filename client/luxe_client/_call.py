"""One request from its first try to its end, without I/O: a shell sends what it is told to, and waits when told to.

`Exchange.run` is a generator. It yields an `Attempt`, which the shell sends, or a time of the clock until which the
shell waits. The shell sends in None when the time has come, or an attempt of this exchange that has landed before.
It returns what the request's part reads in the answer, or raises a `LuxeError`.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import Generic, TypeVar

from luxe_client._attempt import Attempt, Policy, Question
from luxe_client._errors import DeadlineExceeded, LuxeError, Unavailable
from luxe_client._hooks import CallRecord, report
from luxe_client._parts import Part
from luxe_client._policy.backoff import wait_s
from luxe_client._policy.verdict import Verdict, unsent
from luxe_client._pool import Replica
from luxe_client._wire.requests import set_timeout

__all__ = ["Exchange"]

_TOKEN_S = 0.02
"""How often a request that may not be sent again yet looks whether it may now."""
_PATIENCE_S = 0.1
"""A bulk request waits at least half of it for an overloaded server; what chance adds doubles each time."""
_SLACK_S = 0.001
"""What is looked at after a while is looked at a little later, so that the while has passed by any rounding."""

_T = TypeVar("_T")


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
        self._copies = 0
        self._flying = 0
        self._failures = self._refusals = 0
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
            error.tries, error.elapsed_s = self.tries + self._copies, clock() - began
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
                yield from self._probes(now)
                continue
            landed = yield min(self.deadline, self._next_at, self._second_at)
            now = clock()
            if landed is not None and landed.probe:
                continue
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
            replica, number = self.policy.pool.send(self.part.asked, now, self._replicas)
        except LookupError:
            raise Unavailable(f"{self.part.model}: there is no replica to ask", model=self.part.model) from None
        attempt = Attempt(self.policy, self.part, replica, number, now)
        if self.part.asked:
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

    def _probes(self, now: float) -> Generator[Attempt, None, None]:
        """Probe those that were left, beside the request: first with a question, then with a copy of it."""
        model = self.part.asked
        if not model or len(self.policy.pool.replicas) < 2:
            return
        for replica, number, ready in self.policy.pool.probes(model, now):
            if ready:
                self._copies += 1
                yield Attempt(self.policy, self.part, replica, number, now, probe=True)
            else:
                yield Question(self.policy, model, replica, number, now)

    def _failed(self, attempt: Attempt, error: LuxeError, now: float) -> None:
        """Raise, or say when to send again."""
        self._error = error
        if self._waits_for(attempt):
            self._refused(attempt, error, now)
            return
        self._failures += 1
        wait = self._wait_s(attempt, now)
        if self._flying and attempt.verdict is not Verdict.FINE:
            return  # another replica still has it
        if wait is None or now + wait >= self.deadline:
            raise error
        untried = any(replica not in self._replicas for replica in self.policy.pool.replicas)
        # What reached no server is no load for any, and another may be there.
        if (untried and unsent(error)) or self.policy.retries.spend():
            self._next_at, self._second_at = now + wait, math.inf
        elif self._others(now):
            self._second_at = now  # as soon as the budget allows it
        else:
            raise error

    def _waits_for(self, attempt: Attempt) -> bool:
        """Return whether an overloaded server slows this request down, and no more."""
        no_more = attempt.push_back_s is not None and attempt.push_back_s < 0
        return self.part.bulk and attempt.verdict is Verdict.BUSY and self.policy.retry.tries > 1 and not no_more

    def _refused(self, attempt: Attempt, error: LuxeError, now: float) -> None:
        """Raise where there is no time left, or say when to send again. That costs no retry: a stream that slows
        down is what a refusal asks for."""
        self._refusals += 1
        if self._flying:
            return
        longest_s = max(_PATIENCE_S, self.policy.retry.longest_s)
        wait = wait_s(self._refusals, base_s=_PATIENCE_S, longest_s=longest_s, chance=self.policy.chance)
        # A part of it is certain, or some would come back at once.
        wait = 0.0 if self._others(now) else max(attempt.push_back_s or 0.0, _PATIENCE_S / 2 + wait)
        if now + wait >= self.deadline:
            raise error
        self._next_at, self._second_at = now + wait, math.inf

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
        return self.policy.pool.others(self.part.asked, now, self._replicas)

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
            report(
                self.policy.on_call, CallRecord(self.part.model, replica, self.tries + self._copies, seconds, outcome)
            )
