"""Replicas that behave as a test says, and a clock that only the test moves: no server, no thread, no sleep."""

import heapq
import itertools
import random
from types import SimpleNamespace

import grpc

from luxe_client import Balancing, Retry
from luxe_client._attempt import Attempt, Policy, Question
from luxe_client._call import Exchange
from luxe_client._parts import Part
from luxe_client._wire.requests import infer_request

S = grpc.StatusCode
GONE = (S.UNAVAILABLE, "failed to connect to all addresses")
CLOSED = (S.UNAVAILABLE, "Socket closed")
BUSY = (S.UNAVAILABLE, "overloaded: later")
SICK = (S.INTERNAL, "Stub process 'x' is not healthy")
STUCK = None
"""Never answers."""


class World:
    """Replicas that behave as told, and a clock; one that would answer says that it is ready.

    Args:
        behave: from a replica's address, the time and the number of the try to (seconds, status or "ok"), or STUCK.
    """

    def __init__(self, behave, replicas=3, *, retry=Retry(), hedge=None, seed=1, **balancing):  # noqa: B008
        self.now = 1000.0
        self.records, self.sent, self.questions = [], [], []
        self.copies = 0
        self._behave = behave
        self._order = itertools.count()
        self.policy = Policy(
            retry,
            hedge,
            Balancing(**balancing),
            self.records.append,
            clock=lambda: self.now,
            chance=random.Random(seed).random,
        )
        self.policy.pool.update([f"{chr(97 + i)}:1" for i in range(replicas)], self.now)

    def call(self, timeout_s=5.0, model="m", bulk=False):
        request = infer_request(model, [])
        part = Part(model, "ModelInfer", request, lambda response, address: (response, address), bulk=bulk)
        steps = Exchange(self.policy, part, self.now + timeout_s).run()
        flying, landed = [], None
        try:
            while True:
                action = steps.send(landed)
                landed = None
                if isinstance(action, Attempt):
                    asks = isinstance(action, Question)
                    (self.questions if asks else self.sent).append(action.replica.address)
                    self.copies += action.probe and not asks
                    told = self._behave(action.replica.address, self.now, len(self.sent))
                    if told is not STUCK:
                        heapq.heappush(flying, (self.now + told[0], next(self._order), action, told[1:]))
                elif flying and flying[0][0] <= action:
                    self.now, _, landed, told = heapq.heappop(flying)
                    self._land(landed, *told)
                else:
                    assert action < float("inf")
                    self.now = max(self.now, action)
        except StopIteration as stop:
            return stop.value
        finally:
            for at, _, attempt, told in sorted(flying, key=lambda entry: entry[:2]):
                self.now, later = at, self.now
                self._land(attempt, *told)
                self.now = later

    @staticmethod
    def _land(attempt, status, details="", push_back=None):
        if status == "ok":
            attempt.succeeded(SimpleNamespace(ready=True) if isinstance(attempt, Question) else "answer")
        else:
            attempt.failed(status, details, push_back)


def by_replica(**told):
    return lambda address, _now, _number: told.get(address[0], (0.01, "ok"))
