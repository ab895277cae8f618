"""Calls of a made-up run."""

import dataclasses

from luxe_bench.chaos.calls import OK, Call, Event, Phase

PHASES = [Phase("kill", 10.0, 20.0), Phase("update", 30.0, 40.0)]
EVENTS = [Event(11.0, "kill -9", "a:1"), Event(31.0, "load", "a:1"), Event(33.0, "load", "b:1")]


def call(due_s, ms=20.0, **values):
    fine = Call(due_s, due_s + 0.001, due_s + ms / 1e3, OK, None, tries=1, replica="a:1", version="1")
    return dataclasses.replace(fine, **values)


def some(**last):
    """A hundred calls, one every 0.4 s; the one of the 12th second is as told."""
    return [call(0.4 * i, **(last if i == 30 else {})) for i in range(100)]
