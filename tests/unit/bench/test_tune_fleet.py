"""The servers of a comparison come and go together. No server is started."""

import contextlib
import threading

import pytest

from luxe.errors import UserError
from luxe_bench.tune.fleet import fleet

TIMEOUT_S = 30.0


class Servers:
    """Remembers what happened to servers of these names; a name in `sick` fails so many times."""

    def __init__(self, **sick):
        self.sick, self.told = sick, []

    def start(self, name):
        @contextlib.contextmanager
        def run():
            self.told.append(f"start {name}")
            if self.sick.get(name, 0):
                self.sick[name] -= 1
                raise UserError(f"{name} ended")
            yield name
            self.told.append(f"stop {name}")

        return run


def test_they_start_in_turn_and_stop():
    servers = Servers()
    with fleet([servers.start("a"), servers.start("b")]) as targets:
        assert targets == ["a", "b"]
        assert servers.told == ["start a", "start b"]
    assert sorted(servers.told[2:]) == ["stop a", "stop b"]


def test_one_that_does_not_start_is_tried_again(capsys):
    servers = Servers(b=2)
    with fleet([servers.start("a"), servers.start("b")]) as targets:
        assert targets == ["a", "b"]
    assert servers.told[:4] == ["start a", "start b", "start b", "start b"]
    assert capsys.readouterr().err == "b ended; once more\n" * 2


def test_one_that_never_starts_takes_the_others_down():
    servers = Servers(b=3)
    with pytest.raises(UserError, match="b ended"), fleet([servers.start(name) for name in "abc"]):
        raise AssertionError
    assert servers.told == ["start a", "start b", "start b", "start b", "stop a"]


def test_they_stop_whatever_happens():
    servers = Servers()
    with pytest.raises(KeyboardInterrupt), fleet([servers.start("a"), servers.start("b")]):
        raise KeyboardInterrupt
    assert sorted(servers.told[2:]) == ["stop a", "stop b"]


def test_they_stop_at_once():
    both = threading.Barrier(2, timeout=TIMEOUT_S)

    @contextlib.contextmanager
    def run():
        yield
        both.wait()  # for the other one, which must be stopping too

    with fleet([run, run]):
        pass
    assert not both.broken
