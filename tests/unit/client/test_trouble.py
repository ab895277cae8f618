"""Minutes of calls on three servers of which one after the other falls, on a clock that only the test moves.

What the servers do is what real ones were seen to do; `luxe bench chaos` asks those.
"""

import heapq
import itertools
import random
from types import SimpleNamespace

import grpc
import pytest

from luxe_client import Balancing, Hedge, LuxeError, Retry
from luxe_client._attempt import Attempt, Policy, Question
from luxe_client._call import Exchange
from luxe_client._parts import Part
from luxe_client._wire.requests import infer_request

S = grpc.StatusCode
SECONDS = 300.0
TIMEOUT_S = 10.0
UP, DOWN, EMPTY, WARMING, DRAINING, SICK, PAUSED = "up", "down", "empty", "warming", "draining", "sick", "paused"
REFUSALS = {
    DOWN: (S.UNAVAILABLE, "failed to connect to all addresses"),
    EMPTY: (S.UNAVAILABLE, "Request for unknown model: 'm' is not found"),
    DRAINING: (S.NOT_FOUND, "Request for unknown model: 'm' has no available versions"),
    SICK: (S.INTERNAL, "Stub process 'm_0_0' is not healthy."),
}
OK = ("ok", "")


class Server:
    """What one server is, and from when on; answers take 5 to 100 ms while it is up."""

    def __init__(self, chance):
        self.states = [(0.0, UP)]
        self._chance = chance

    def becomes(self, *states):
        self.states += states

    def at(self, now):
        return next(state for since, state in reversed(self.states) if since <= now)

    def asked(self, now, question):
        """When an attempt that arrives now ends, and how."""
        state, later = self.at(now), [one for one in self.states if one[0] > now]
        if state == PAUSED and question:
            return later[0][0], OK
        if question or state in REFUSALS:
            asks_the_model = question and state in (SICK, WARMING)  # which is there, as far as the server knows
            return now + 0.002, OK if asks_the_model else REFUSALS.get(state, OK)
        need = self._chance.uniform(0.005, 0.1)
        for until, then in later:
            if state == UP and until - now >= need:
                break
            need -= until - now if state == UP else 0.0
            now, state = until, then
            if then in (DOWN, SICK):
                return now + 0.01, (S.UNAVAILABLE, "Socket closed") if then == DOWN else REFUSALS[SICK]
            if then == DRAINING:
                break  # what was accepted is answered
        return now + need, OK


def start(server, now, chance):
    """Let a server be killed and come back; returns when it is back."""
    took = chance.uniform(6.0, 9.0)
    server.becomes((now, DOWN), (now + 0.4 * took, EMPTY), (now + 0.7 * took, WARMING), (now + took, UP))
    return now + took


def trouble(kind, servers, chance):
    """Let one server after the other fall, each while it and another are up."""
    back, now = [0.0] * len(servers), 5.0
    for number in itertools.cycle(range(len(servers))):
        now = max(now, back[number] + 0.3, min(back[:number] + back[number + 1 :]) + 0.3)
        server = servers[number]
        if now > SECONDS:
            return
        if kind == "kill":
            back[number] = start(server, now, chance)
            now += 5.0
        elif kind == "backend":
            server.becomes((now, SICK))
            back[number] = start(server, now + chance.uniform(0.2, 2.2), chance)
            now += 5.0
        elif kind == "restart":
            server.becomes((now, DRAINING))
            back[number] = start(server, now + chance.uniform(0.2, 1.0), chance)
            now = back[number] + 2.0
        else:
            server.becomes((now, PAUSED), (now + 5.0, UP))
            now = back[number] = now + 5.0
            now += 2.0


class World:
    """All calls of a run, each when it is due."""

    def __init__(self, kind, rate, *, seed=1, retry=Retry(), hedge=None):  # noqa: B008
        chance = random.Random(seed)
        self.now, self.records, self.errors, self.questions = 0.0, [], [], 0
        self._order, self._coming = itertools.count(), []
        self.policy = Policy(
            retry, hedge, Balancing(), self.records.append, clock=lambda: self.now, chance=chance.random
        )
        self._servers = {f"{name}:1": Server(chance) for name in "abc"}
        self.policy.pool.update(self._servers, 0.0)
        if kind != "nothing":
            trouble(kind, list(self._servers.values()), chance)
        due = 0.0
        while (due := due + chance.expovariate(rate)) < SECONDS:
            self._later(due, self._begin)
        while self._coming:
            at, _, do = heapq.heappop(self._coming)
            self.now = max(self.now, at)
            do()

    def _later(self, at, do):
        heapq.heappush(self._coming, (at, next(self._order), do))

    def _begin(self):
        part = Part("m", "ModelInfer", infer_request("m", []), lambda response, _: response)
        call = SimpleNamespace(steps=Exchange(self.policy, part, self.now + TIMEOUT_S).run(), until=None)
        self._advance(call, None)

    def _advance(self, call, landed):
        try:
            action = call.steps.send(landed)
            while isinstance(action, Attempt):
                self._send(call, action)
                action = call.steps.send(None)
        except (StopIteration, LuxeError) as end:
            call.until = None
            self.errors += [end] if isinstance(end, LuxeError) else []
            return
        call.until = action
        self._later(action, lambda: self._advance(call, None) if call.until == action else None)

    def _send(self, call, attempt):
        question = isinstance(attempt, Question)
        self.questions += question
        at, told = self._servers[attempt.replica.address].asked(self.now, question)

        def land():
            if told == OK:
                attempt.succeeded(SimpleNamespace(ready=True))
            else:
                attempt.failed(*told)
            if call.until is not None:
                self._advance(call, attempt)

        self._later(at, land)

    @property
    def tries_a_call(self):
        return sum(record.tries for record in self.records) / len(self.records)

    def latency_s(self, quantile):
        return sorted(record.seconds for record in self.records)[int(quantile * len(self.records))]


@pytest.mark.parametrize("rate", [1, 5, 15])
@pytest.mark.parametrize("kind", ["kill", "backend", "restart", "pause"])
def test_no_call_fails_while_one_server_after_the_other_falls(kind, rate):
    """Busy or nearly idle: a budget that comes with the calls must not be what keeps them alive."""
    world = World(kind, rate)
    assert world.errors == []
    assert len(world.records) > 0.8 * rate * SECONDS
    assert world.latency_s(0.9999) < 3.0
    assert kind == "pause" or world.questions > 40, "else nothing fell"
    if rate >= 15:
        assert world.tries_a_call <= 1.1
        assert kind == "pause" or world.latency_s(0.99) < 0.25, "nobody waits for a server that comes back"


@pytest.mark.parametrize("kind", ["kill", "backend", "pause"])
def test_nor_with_a_hedge(kind):
    world = World(kind, 15, hedge=Hedge())
    assert world.errors == []
    assert world.tries_a_call <= 1.15, "the hedges' own 5 % on top"


def test_where_nothing_happens_nothing_is_asked_twice():
    world = World("nothing", 15)
    assert world.errors == []
    assert world.tries_a_call == 1
    assert world.questions == 0


def test_without_a_second_try_calls_fail():
    """Else the servers above would not have fallen."""
    assert len(World("kill", 15, retry=Retry(tries=1)).errors) > 10
