"""What `luxe tune` tries, and how the catalogue says it."""

import dataclasses

import pytest

from luxe.schema import Serving
from luxe_bench.tune import knobs
from luxe_bench.tune.knobs import Knobs

START = Knobs(2, 1, 16, 0)


def pairs(cores, current=START):
    found = knobs.alternatives(current, cores, 32)["engines"]
    return [(one.instances, one.threads) for one in found]


@pytest.mark.parametrize(
    ("cores", "expected"),
    [
        (1, [(1, 1)]),
        (2, [(1, 2), (1, 1)]),
        (3, [(3, 1), (1, 2), (1, 1)]),
        (4, [(4, 1), (2, 2), (1, 4)]),  # half of them is the current one
        (6, [(6, 1), (3, 2), (1, 4), (3, 1)]),
        (16, [(16, 1), (8, 2), (4, 4), (2, 8), (1, 16), (8, 1)]),
    ],
)
def test_engines_and_threads_share_the_cores(cores, expected):
    assert pairs(cores) == expected
    assert all(instances * threads <= cores for instances, threads in pairs(cores))


def test_an_engine_on_one_core_has_no_alternative():
    assert pairs(1, Knobs(1, 1, 16, 0)) == []


@pytest.mark.parametrize(
    ("most", "current", "expected"),
    [(32, 16, [4, 8, 32]), (32, 7, [4, 8, 16, 32]), (128, 4, [8, 16, 32, 64, 128]), (48, 16, [4, 8, 32])],
)
def test_micro_batches_are_powers_of_two(most, current, expected):
    found = knobs.alternatives(Knobs(2, 1, current, 0), 2, most)["micro-batch"]
    assert [one.micro_batch for one in found] == expected


def test_a_coordinate_changes_nothing_else():
    current = Knobs(3, 5, 7, 11)
    changed = {"engines": ("instances", "threads"), "micro-batch": ("micro_batch",)}
    for name, values in knobs.alternatives(current, 8, 32).items():
        for one in values:
            kept = dataclasses.replace(current, **{key: getattr(one, key) for key in changed.get(name, ("delay_us",))})
            assert one == kept != current
    assert [one.delay_us for one in knobs.alternatives(current, 8, 32)["delay"]] == [0, 1000, 5000]


@pytest.mark.parametrize(
    ("keys", "cores", "expected"),
    [
        ({}, 2, Knobs(2, 1, 16, 0)),
        ({"intra_op_threads": 2}, 5, Knobs(2, 2, 16, 0)),
        ({"engine_instances": 3, "max_micro_batch": 8, "max_queue_delay_us": 70}, 2, Knobs(3, 1, 8, 70)),
    ],
)
def test_what_the_catalogue_leaves_open_is_counted(keys, cores, expected):
    assert knobs.of(Serving(**keys), cores) == expected


@pytest.mark.parametrize(
    ("given", "wanted", "said"),
    [
        (None, (2, 1), None),
        (None, (1, 2), None),  # what is left open becomes 1 where each has two threads
        (None, (1, 1), 1),
        (2, (2, 1), 2),  # somebody's own number stays while it is right
        (1, (1, 2), 1),
        (1, (2, 1), None),
        (4, (1, 2), None),
        (4, (1, 1), 1),
    ],
)
def test_instances_are_left_open_where_the_cores_say_the_same(given, wanted, said):
    start = Serving(engine_instances=given, max_queue=77)
    asked = Knobs(*wanted, 8, 1000)
    found = knobs.to_serving(start, asked, 2)
    assert found.engine_instances == said
    assert knobs.of(found, 2) == asked
    assert found == start.model_copy(
        update={
            "engine_instances": said,
            "intra_op_threads": wanted[1],
            "max_micro_batch": 8,
            "max_queue_delay_us": 1000,
        }
    )


def test_changes_are_what_differs():
    start = Serving(engine_instances=1, max_micro_batch=8)
    assert knobs.changes(start, start) == {}
    wanted = knobs.to_serving(start, Knobs(2, 1, 16, 1000), 2)
    assert knobs.changes(start, wanted) == {"engine_instances": None, "max_micro_batch": 16, "max_queue_delay_us": 1000}
