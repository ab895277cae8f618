"""The order in which `luxe tune` tries settings, on a made-up machine."""

from tune_figures import START, measured

from luxe_bench.tune.knobs import Knobs
from luxe_bench.tune.search import FINAL, search


class Machine:
    """Measures without noise; what it was asked is kept."""

    def __init__(self, per_s, *, met=lambda one: True, lucky=lambda name, one: 1.0):
        self._per_s, self._met, self._lucky = per_s, met, lucky
        self.asked = []

    def __call__(self, name, values):
        self.asked.append((name, list(values)))
        return [measured(one, (self._per_s(one) * self._lucky(name, one),) * 3, met=self._met(one)) for one in values]

    @property
    def names(self):
        return [name for name, _ in self.asked]


def test_each_coordinate_starts_from_the_best_of_the_one_before():
    def per_s(one):
        return 100 + 20 * (one.threads == 2) + 20 * (one.micro_batch == 8) + 20 * (one.delay_us == 1000)

    machine = Machine(per_s)
    found = search(START, 2, 32, machine)
    assert found.winner == Knobs(1, 2, 8, 1000)
    assert machine.asked == [
        ("engines", [START, Knobs(1, 2, 16, 0), Knobs(1, 1, 16, 0)]),
        ("micro-batch", [Knobs(1, 2, 16, 0), Knobs(1, 2, 4, 0), Knobs(1, 2, 8, 0), Knobs(1, 2, 32, 0)]),
        ("delay", [Knobs(1, 2, 8, 0), Knobs(1, 2, 8, 1000), Knobs(1, 2, 8, 5000)]),
        (FINAL, [START, Knobs(1, 2, 8, 1000)]),
    ]
    assert [stage.best for stage in found.stages] == [
        Knobs(1, 2, 16, 0),
        Knobs(1, 2, 8, 0),
        Knobs(1, 2, 8, 1000),
        Knobs(1, 2, 8, 1000),
    ]


def test_where_nothing_is_faster_there_is_nothing_to_check():
    machine = Machine(lambda one: 100)
    found = search(START, 2, 32, machine)
    assert found.winner == found.start == START
    assert FINAL not in machine.names and len(machine.names) == 3


def test_luck_does_not_survive_the_final_check():
    machine = Machine(lambda one: 100, lucky=lambda name, one: 1.2 if name != FINAL and one.micro_batch == 8 else 1.0)
    found = search(START, 2, 32, machine)
    assert machine.names[-1] == FINAL
    assert found.winner == START


def test_gains_within_the_noise_of_each_step_are_not_added_up():
    machine = Machine(lambda one: 100 + 2 * (one.micro_batch == 8) + 2 * (one.delay_us == 1000))
    assert search(START, 2, 32, machine).winner == START


def test_the_slo_rules():
    machine = Machine(lambda one: 100 + one.micro_batch, met=lambda one: one.micro_batch <= 8)
    found = search(START, 2, 32, machine)
    assert found.winner == Knobs(2, 1, 8, 0), "slower than the start, which misses the SLO"
    assert machine.names[-1] == FINAL


def test_where_none_keeps_the_slo_there_is_no_winner():
    found = search(START, 2, 32, Machine(lambda one: 100 + one.micro_batch, met=lambda one: False))
    assert found.winner is None
    assert [stage.best for stage in found.stages] == [START] * 3


def test_a_winner_that_misses_the_slo_at_last_gives_way():
    class Moody(Machine):
        def __call__(self, name, values):
            self._met = lambda one: name != FINAL or one == START
            return super().__call__(name, values)

    assert search(START, 2, 32, Moody(lambda one: 100 + 50 * (one.micro_batch == 8))).winner == START


def test_neither_at_last_is_no_winner():
    class Sick(Machine):
        def __call__(self, name, values):
            self._met = lambda one: name != FINAL
            return super().__call__(name, values)

    assert search(START, 2, 32, Sick(lambda one: 100 + 50 * (one.micro_batch == 8))).winner is None


def test_only_what_is_asked_for_is_tried():
    machine = Machine(lambda one: 100 + 50 * (one.micro_batch == 8) + 50 * (one.delay_us == 1000))
    assert search(START, 2, 32, machine, only=["delay"]).winner == Knobs(2, 1, 16, 1000)
    assert machine.names == ["delay", FINAL]


def test_where_there_is_no_choice_the_start_is_measured_alone():
    machine = Machine(lambda one: 100)
    assert search(Knobs(1, 1, 16, 0), 1, 32, machine, only=["engines"]).winner == Knobs(1, 1, 16, 0)
    assert machine.asked == [(FINAL, [Knobs(1, 1, 16, 0)])]


def test_a_coordinate_without_alternatives_is_left_out():
    machine = Machine(lambda one: 100)
    search(Knobs(1, 1, 16, 0), 1, 32, machine)
    assert machine.names == ["micro-batch", "delay"]
