"""`luxe tune` writes as a person would: comments, order and everything else stay."""

import sys

import pytest

from luxe_bench.tune.edit import edit

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = """\
# A model.
labels = [  # as trained
    "red", "green",
]

[serving]   # how it runs
max_batch_size = 32
# Sixteen was faster
max_micro_batch   =   16     # than eight
engine_instances = 1  # until there are more cores

# What is promised.
[slo]
p99_ms = 1e3
"""


def test_a_value_keeps_its_line():
    assert edit(FILE, {"max_micro_batch": 8}) == FILE.replace("=   16     #", "=   8     #")


def test_a_new_key_stands_at_the_end_of_the_table():
    """The comment behind the table is of the next one."""
    last = "engine_instances = 1  # until there are more cores\n"
    assert edit(FILE, {"max_queue_delay_us": 1000}) == FILE.replace(last, f"{last}max_queue_delay_us = 1000\n")


def test_a_key_is_left_out():
    last = "engine_instances = 1  # until there are more cores\n"
    assert edit(FILE, {"engine_instances": None}) == FILE.replace(last, "")
    assert edit(FILE, {"intra_op_threads": None}) == FILE


def test_several_changes():
    changes = {"engine_instances": None, "intra_op_threads": 2, "max_micro_batch": 4, "max_queue_delay_us": 5000}
    text = edit(FILE, changes)
    assert tomllib.loads(text)["serving"] == {
        "max_batch_size": 32,
        "max_micro_batch": 4,
        "intra_op_threads": 2,
        "max_queue_delay_us": 5000,
    }
    assert text.endswith("max_queue_delay_us = 5000\n\n# What is promised.\n[slo]\np99_ms = 1e3\n")


def test_nothing_changes_nothing():
    assert edit(FILE, {}) == FILE


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("x = 1\n\n[slo]\np = 5\n", "x = 1\n\n[slo]\np = 5\n\n[serving]\na = 1\n"),
        ("[serving]\n\n[slo]\np = 5\n", "[serving]\na = 1\n\n[slo]\np = 5\n"),
        ("[serving]\n# none yet\n[slo]\n", "[serving]\na = 1\n# none yet\n[slo]\n"),
        ("[serving]\nb = 2", "[serving]\nb = 2\na = 1\n"),
        ("serving.b = 2 # two\n[slo]\n", "serving.b = 2 # two\nserving.a = 1\n[slo]\n"),
        ("serving = { b = 2 }\n", "serving = { b = 2, a = 1 }\n"),
        ("[serving]\nc = 0x10\na = 0x10 # hex\n", "[serving]\nc = 0x10\na = 1 # hex\n"),
        ("[serving]\r\nb = 2\r\n\r\n[slo]\r\n", "[serving]\r\nb = 2\r\na = 1\r\n\r\n[slo]\r\n"),
    ],
)
def test_however_the_table_is_written(before, after):
    found = edit(before, {"a": 1})
    assert tomllib.loads(found) == tomllib.loads(after)
    assert tomllib.loads(found)["serving"]["a"] == 1
    assert found == after


def test_a_file_with_both_kinds_of_line_ends_keeps_them():
    assert edit("[serving]\r\na = 2\nb = 3\r\n", {"a": 1}) == "[serving]\r\na = 1\nb = 3\r\n"
