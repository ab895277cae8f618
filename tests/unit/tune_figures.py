"""Made-up figures of a search."""

from luxe_bench.cost.statistics import Summary
from luxe_bench.tune.choice import Measured
from luxe_bench.tune.knobs import Knobs
from luxe_bench.verdict import Check

START = Knobs(2, 1, 16, 0)


def summary(per_s=200.0, *, p99=40.0, requests=100, answered=100, cpu=8.0):
    return Summary(requests, answered, {}, per_s, 10.0, 30.0, p99, cpu, 0.5)


def measured(knobs=START, per_s=(200.0,), *, met=True, p99=40.0, answered=100):
    check = Check("p99 ms", p99, "<=", 500.0, met)
    rounds = [summary(one, answered=answered) for one in per_s]
    return Measured(knobs, rounds, summary(50.0, p99=p99), [check])
