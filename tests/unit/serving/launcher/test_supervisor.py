from types import SimpleNamespace

import pytest

from luxe.errors import CommandError, UserError
from luxe_serving.launcher.supervisor import LIMIT, POLL_S, Supervisor, delay_s


class World:
    """Servers that are sick after so many seconds, and a clock that only sleeping moves.

    Args:
        lives: of each server in turn; None for one that does not start.
        end_s: when a signal comes.
    """

    def __init__(self, *lives, end_s=10_000.0):
        self.now, self._end_s = 0.0, end_s
        self._lives = list(lives)
        self.events, self.starts = [], []
        self.log = SimpleNamespace(start=0, path="the.log", first_error=lambda since: f"first error since {since}")

    def server(self, served=None):
        life = self._lives.pop(0)
        if life is None:
            raise UserError("it does not start")
        name = len(self.events)
        return SimpleNamespace(
            until=self.now + life,
            log=self.log,
            stop=lambda: self.events.append("stopped"),
            abandon=lambda: self.events.append("abandoned"),
            name=name,
        )

    def start(self, served):
        self.starts.append((self.now, dict(served)))
        return self.server()

    def watch(self, server):
        sick = lambda: "a reason [of any kind]" if self.now >= server.until else None  # noqa: E731
        return SimpleNamespace(sick=sick, served={"model": 3})

    def sleep(self, seconds):
        self.now += seconds
        if self.now >= self._end_s:
            raise KeyboardInterrupt

    def run(self):
        supervisor = Supervisor(self.start, self.watch, sleep=self.sleep, clock=lambda: self.now)
        supervisor.run(self.server())


def test_a_signal_stops_the_server_in_order():
    world = World(1e9, end_s=5)
    with pytest.raises(KeyboardInterrupt):
        world.run()
    assert world.events == ["stopped"]
    assert world.starts == []


def test_a_sick_server_is_replaced_at_once_by_one_that_serves_the_same(capfd):
    world = World(3, 1e9, end_s=20)
    with pytest.raises(KeyboardInterrupt):
        world.run()
    assert world.events == ["abandoned", "stopped"]
    ((when, served),) = world.starts
    assert when == pytest.approx(3, abs=2 * POLL_S)
    assert served == {"model": 3}
    err = capfd.readouterr().err
    assert "a reason [of any kind]; restarting" in err
    assert "ready again model" in err


def test_it_waits_longer_each_time_and_gives_up():
    world = World(*[0] * (LIMIT + 1))
    with pytest.raises(CommandError) as caught:
        world.run()
    assert caught.value.exit_status == 1
    assert [when for when, _ in world.starts] == [0, 1, 3, 7, 15]
    assert world.events == ["abandoned"] * (LIMIT + 1)
    line = str(caught.value)
    assert f"{LIMIT} restarts in 15 s" in line
    assert "first error since 0" in line
    assert "the.log" in line


def test_a_restart_that_fails_is_one_of_them(capfd):
    world = World(0, *[None] * LIMIT)
    with pytest.raises(CommandError, match=f"{LIMIT} restarts in 15 s"):
        world.run()
    assert len(world.starts) == LIMIT
    assert capfd.readouterr().err.count("it does not start") == LIMIT


@pytest.mark.parametrize(("life", "gives_up"), [(61, False), (58, True)])
def test_a_minute_of_health_makes_good(life, gives_up):
    world = World(life, *[life] * 10, end_s=8 * life)
    with pytest.raises(CommandError if gives_up else KeyboardInterrupt):
        world.run()


def test_a_signal_while_it_waits_to_restart():
    world = World(0, 0, 0, 0, 0, end_s=5)
    with pytest.raises(KeyboardInterrupt):
        world.run()
    assert [when for when, _ in world.starts] == [0, 1, 3]
    assert world.events == ["abandoned"] * 4  # nothing runs that could be stopped


def test_the_delays():
    assert [delay_s(n) for n in range(8)] == [0, 1, 2, 4, 8, 16, 30, 30]
