"""What is done to the servers, one kind after the other."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable, Iterator, Sequence

from luxe.errors import UserError
from luxe.manifest import engine_name
from luxe_bench.chaos.calls import Event, Phase
from luxe_bench.chaos.fleet import Published
from luxe_bench.chaos.replica import Replica
from luxe_serving.launcher import change

__all__ = ["FAULTS", "Scene", "Step"]

EVERY_S = 5.0
"""From one kill to the next; later where too few servers answer."""
PAUSED_S = 5.0
REST_S = 2.0
"""For a server that has come back, until it is the next one's turn."""
_LOOK_S = 0.25
_BACK_S = 180.0


@dataclasses.dataclass
class Scene:
    """The servers of a run, its clock, and what was done so far.

    Args:
        look: called while time passes, with what goes on; may raise.
    """

    replicas: Sequence[Replica]
    published: Published
    began: float
    look: Callable[[str], object] = lambda _: None
    events: list[Event] = dataclasses.field(default_factory=list)
    phases: list[Phase] = dataclasses.field(default_factory=list)
    _doing: str = ""

    def now(self) -> float:
        """Return the seconds since the start of the load."""
        return time.monotonic() - self.began

    def note(self, what: str, replica: Replica) -> None:
        """Write down what is done now."""
        self.events.append(Event(self.now(), what, replica.address.grpc))

    def sleep(self, seconds: float) -> None:
        """Wait."""
        until = self.now() + seconds
        while (left := until - self.now()) > 0:
            self.look(self._doing)
            time.sleep(min(left, _LOOK_S))

    def run(self, name: str, seconds: float) -> None:
        """Do one kind of thing for a while, at least once, until all servers answer again.

        Raises:
            UserError: a server does not come back.
        """
        self._doing, begin_s = name, self.now()
        steps = FAULTS[name][1](self)
        while self.now() < begin_s + seconds or not any(event.at_s >= begin_s for event in self.events):
            next(steps)
        for replica in self.replicas:
            replica.until_it_answers()
        self.phases.append(Phase(name, begin_s, self.now()))
        self._doing = "calm"

    def victims(self) -> Iterator[Replica]:
        """Return the servers in turn: each while it answers, and another does too.

        Raises:
            UserError: none does for long.
        """
        for replica in itertools.cycle(self.replicas):
            deadline = self.now() + _BACK_S
            while not self._may_fall(replica):
                if self.now() > deadline:
                    raise UserError(f"the server at {replica.address.grpc} does not come back")
                self.sleep(_LOOK_S)
            yield replica

    def _may_fall(self, replica: Replica) -> bool:
        return replica.answers() and any(other.answers() for other in self.replicas if other is not replica)


Step = Iterator[None]
"""Each `next` does one thing to one server."""


def _kill(scene: Scene) -> Step:
    for replica in scene.victims():
        scene.note("kill -9", replica)
        replica.kill()
        replica.start()
        scene.sleep(EVERY_S)
        yield


def _kill_backend(scene: Scene) -> Step:
    model = scene.published.model
    entries = itertools.cycle([engine_name(model), model])
    for replica, entry in zip(scene.victims(), entries, strict=False):
        scene.note(f"kill -9 {entry}", replica)
        replica.kill_backend(entry)
        scene.sleep(EVERY_S)
        yield


def _restart(scene: Scene) -> Step:
    for replica in itertools.cycle(scene.replicas):
        scene.note("SIGTERM", replica)
        replica.stop()
        replica.start()
        replica.until_it_answers()
        scene.sleep(REST_S)
        yield


def _update(scene: Scene) -> Step:
    published = scene.published
    while True:
        published.publish()
        for replica in scene.replicas:
            scene.note("load", replica)
            change.load(published.project, published.model, address=replica.address.grpc)
            scene.sleep(REST_S)
        yield


def _pause(scene: Scene) -> Step:
    for replica in itertools.cycle(scene.replicas):
        scene.note("SIGSTOP", replica)
        replica.pause()
        scene.sleep(PAUSED_S)
        scene.note("SIGCONT", replica)
        replica.resume()
        replica.until_it_answers()
        scene.sleep(REST_S)
        yield


FAULTS: dict[str, tuple[str, Callable[[Scene], Step]]] = {
    "kill": (f"kill -9 of all of a server's processes every {EVERY_S:g} s, and its restart", _kill),
    "backend": (f"kill -9 of a backend process every {EVERY_S:g} s", _kill_backend),
    "restart": ("a rolling restart: SIGTERM of one server after the other", _restart),
    "update": ("a rolling update: a new version, loaded by one server after the other", _update),
    "pause": (f"SIGSTOP of all of a server's processes for {PAUSED_S:g} s", _pause),
}
