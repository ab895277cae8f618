"""What the rest of the machine did during a load."""

import pytest

from luxe_bench.tune import others
from luxe_bench.tune.others import Moment, share

STAT = """\
cpu  100 200 300 4000 5000 600 700 800 50 60
cpu0 50 100 150 2000 2500 300 350 400 25 30
cpu1 50 100 150 2000 2500 300 350 400 25 30
intr 12345
"""


@pytest.mark.parametrize(
    ("busy_s", "own_s", "expected"),
    [(18, 18, 0.0), (18, 8, 0.5), (20, 0, 1.0), (19, 17, 0.1), (17, 18, 0.0), (25, 0, 1.0)],
)
def test_the_share_of_others(busy_s, own_s, expected):
    """Ten seconds on two processors; clocks that tick a hundred times a second may differ a little."""
    before = Moment(wall_s=5, busy_s=100, own_s=10, processors=2)
    assert share(before, Moment(15, 100 + busy_s, 10 + own_s, 2)) == pytest.approx(expected)


def test_no_time_at_all():
    moment = Moment(5, 100, 10, 2)
    assert share(moment, moment) == 0


def test_idle_and_waiting_processors_are_not_busy(tmp_path, monkeypatch):
    monkeypatch.setattr(others, "_TICKS", 100)
    (tmp_path / "stat").write_text(STAT, encoding="utf-8")
    found = others.now(tmp_path / "stat")
    assert (found.busy_s, found.processors) == (27, 2), "a guest's time is in the user's already"


def test_this_machine():
    before = others.now()
    sum(range(10**6))
    after = others.now()
    assert after.processors >= 1 and after.own_s >= before.own_s
    assert 0 <= share(before, after) <= 1
