"""What a search leaves: the record, the tables, the picture."""

import itertools
import json
import re
from datetime import datetime, timezone

import pytest
from tune_figures import START, measured

from luxe.manifest import Manifest
from luxe_bench.cost import record as cost_record
from luxe_bench.tune import picture, record, show
from luxe_bench.tune.knobs import Knobs
from luxe_bench.tune.search import FINAL, Found, Stage

OTHER, WINNER, SLOW = Knobs(1, 2, 16, 0), Knobs(2, 1, 8, 0), Knobs(2, 1, 16, 5000)
STAGES = [
    Stage("engines", [measured(START, (200, 200)), measured(OTHER, (100, 100), p99=80)], START),
    Stage("micro-batch", [measured(START, (100, 100)), measured(WINNER, (110, 112), p99=45)], WINNER),
    Stage("delay", [measured(WINNER, (300, 300), p99=45), measured(SLOW, (150, 150), p99=600, met=False)], WINNER),
    Stage(FINAL, [measured(START, (250, 250), p99=41), measured(WINNER, (265, 275), p99=44)], WINNER),
]
FOUND = Found(START, WINNER, STAGES)
NONE_MEETS = Found(START, None, [Stage("micro-batch", [measured(met=False), measured(WINNER, met=False)], START)])
STAYS = Found(START, START, STAGES[:1])
CHANGES = {"max_micro_batch": 8}
SLO = {"requests_per_s": 50, "p99_ms": 500}


def facts():
    manifest = Manifest(model="m", version=3, rollback_of=None, files={}, precision="int8")
    started = datetime(2026, 1, 2, 3, 4, tzinfo=timezone.utc)
    about = cost_record.facts(manifest, started=started, load_before=0.5, texts=300, seconds=6.0)
    return {
        **about,
        "rounds": 2,
        "slo": SLO,
        "checked": 1234,
        "wrong": 0,
        "dry_run": False,
        "others_share": {"median": 0.02, "most": 0.3},
    }


def test_a_search_is_kept_whole_and_as_a_line(tmp_path):
    whole, line = (make(facts(), FOUND, CHANGES) for make in (record.whole, record.line))
    record.write(tmp_path, tmp_path / "run", whole, line)
    record.write(tmp_path, tmp_path / "run", whole, line)
    kept = json.loads((tmp_path / "run" / "tune.json").read_text(encoding="utf-8"))
    assert kept["winner"] == {"instances": 2, "threads": 1, "micro_batch": 8, "delay_us": 0}
    assert kept["start"]["micro_batch"] == 16 and kept["changes"] == CHANGES
    assert kept["gain"] == pytest.approx(1.08), "of the final check"
    assert [stage["name"] for stage in kept["stages"]] == [stage.name for stage in STAGES]
    slow = kept["stages"][2]["measured"][1]
    assert slow["met"] is False and slow["over_current"] == 0.5 and slow["over_current_by_round"] == [0.5, 0.5]
    assert slow["open"]["p99_ms"] == 600 and slow["checks"][0]["met"] is False and len(slow["rounds"]) == 2
    lines = (tmp_path / record.HISTORY).read_text(encoding="utf-8").splitlines()
    assert len(lines) == 2
    short = json.loads(lines[0])
    assert short.keys() == kept.keys() - {"stages"}
    assert short["model"] == "m" and short["version"] == 3 and short["cpu"]


def test_without_a_winner_there_is_no_gain():
    assert record.line(facts(), NONE_MEETS, {})["winner"] is None
    assert record.line(facts(), NONE_MEETS, {})["gain"] is None
    assert record.line(facts(), STAYS, {})["gain"] is None


def shown(found, capsys):
    show.show(found, facts())
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 120
    return printed


def test_every_setting_is_shown(capsys):
    printed = shown(FOUND, capsys)
    rows = [line.strip() for line in printed.splitlines() if re.match(r" *\d × \d ", line)]
    ends = [" ".join(re.split(r"\b(?:met|missed)\b", row)[1].split()) for row in rows]
    assert ends == ["catalogue, best", "", "catalogue", "best", "best", "", "catalogue", "winner"]
    assert "1.080 (1.06–1.10)" in rows[-1]
    assert "missed" in rows[5] and "600" in rows[5]
    assert "other work took 2% of the machine, median of all rounds, at most 30%" in printed
    assert "1234 answers checked" in printed and f"winner: {WINNER}" in printed
    assert re.search(r"p99 ms\s+\[slo\]", printed)


def test_what_came_of_it_is_said(capsys):
    assert "no setting meets the [slo]: FAIL" in shown(NONE_MEETS, capsys)
    printed = shown(STAYS, capsys)
    assert "nothing is faster by more than 3%" in printed and "catalogue, winner" in printed


def test_speeds_of_different_comparisons_are_put_on_one_scale():
    """The machine was twice as fast in the first comparison as in the second; the start did not change."""
    found = {point.knobs: point for point in picture.points(FOUND)}
    assert found.keys() == {START, OTHER, WINNER, SLOW}
    assert found[START].per_s == 200 and found[OTHER].per_s == 100
    assert found[WINNER].per_s == pytest.approx(200 * 1.08), "as the final check found"
    assert found[SLOW].per_s == pytest.approx(200 * 1.08 * 0.5)
    assert found[WINNER].p99_ms == 44, "the last open loop"
    assert [point.knobs for point in found.values() if not point.met] == [SLOW]


@pytest.mark.parametrize(
    ("heights", "expected"),
    [
        ([], []),
        ([0.2, 0.8], [0.2, 0.8]),
        ([0.5, 0.5, 0.5], [0.5, 0.6, 0.7]),
        ([0.95, 0.97, 0.99], [0.8, 0.9, 1.0]),
        ([0.0, 0.1, 0.95, 1.0], [0.0, 0.1, 0.9, 1.0]),
    ],
)
def test_labels_keep_apart(heights, expected):
    assert picture.spread(heights, least=0.1) == pytest.approx(expected)


def drawn(found, folder):
    picture.write(found, folder, model="m", p99_ms=500, requests_per_s=50)
    assert (folder / "tune.png").read_bytes().startswith(b"\x89PNG")
    return (folder / "tune.svg").read_text(encoding="utf-8")


def test_the_picture(tmp_path):
    words = drawn(FOUND, tmp_path)
    for label in ("2 × 1, 16, 0 µs (catalogue)", "2 × 1, 8, 0 µs (winner)", "2 × 1, 16, 5000 µs", "[slo] p99 500 ms"):
        assert f"<!-- {label} -->" in words
    assert "<!-- 2 × 1, 16, 0 µs (catalogue, winner) -->" in drawn(STAYS, tmp_path)


@pytest.mark.parametrize("found", [NONE_MEETS, STAYS, Found(START, None, [Stage("x", [measured(p99=None)], START)])])
def test_the_picture_is_drawn_whatever_came_of_it(found, tmp_path):
    drawn(found, tmp_path)


def test_no_label_covers_another(tmp_path):
    """Twenty settings that hardly differ, and one far away."""
    values = [Knobs(i, t, 16, 0) for i, t in itertools.product(range(1, 6), range(1, 5))]
    near = [measured(one, (200 + n,), p99=40 + n / 10) for n, one in enumerate(values)]
    words = drawn(
        Found(values[0], values[3], [Stage("x", [*near, measured(SLOW, (50,), p99=490)], values[3])]), tmp_path
    )
    found = re.findall(r"<!-- \d × \d, \d+.*?-->\s*<g[^>]*transform=\"translate\(([\d.]+) ([\d.]+)\)", words)
    heights = sorted(float(y) for _, y in found)
    assert len(heights) == 21
    assert min(b - a for a, b in itertools.pairwise(heights)) > 9, "points, at a size of 9"
