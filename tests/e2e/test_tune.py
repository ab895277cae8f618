"""`luxe tune` with real servers, a few dozen texts."""

import json
import re

import psutil
from e2e_support import MODEL, assert_refused, luxe, set_key, tree

from luxe import catalog

TINY = ("--texts", "32", "--rounds", "1", "--seconds", "1", "--knob", "delay")


def test_a_tiny_search_measures_every_setting_and_writes_the_winner(copy):
    """The catalogue begins with a delay that misses the SLO, so that another one wins."""
    path = copy.catalog / f"{MODEL}.toml"
    set_key(path, "p50_ms", 70)
    set_key(path, "max_micro_batch", "4\nmax_queue_delay_us = 150000  # too long")
    start, published = path.read_text(encoding="utf-8"), tree(copy.repository)

    done = luxe("tune", MODEL, "--root", copy.root, *TINY, timeout_s=300)
    assert done.status == 0, done.err
    assert tree(copy.repository) == published, "the published model is only read"
    rows = [line for line in done.out.splitlines() if re.match(r" *\d+ × \d+ ", line)]
    assert [int(row.split()[4]) for row in rows[:4]] == [150000, 0, 1000, 5000]
    assert "missed" in rows[0] and "catalogue" in rows[0]
    assert len(rows) == 6 and rows[-1].rstrip().endswith("winner"), "four settings, and the final check of two"
    assert "answers checked" in done.out

    (folder,) = copy.bench_results.glob(f"{MODEL}-tune-*")
    assert {p.name for p in folder.iterdir()} == {"tune.json", "tune.png", "tune.svg"}
    found = json.loads((folder / "tune.json").read_text(encoding="utf-8"))
    assert found["wrong"] == 0 and found["checked"] > 6 * 32
    assert [stage["name"] for stage in found["stages"]] == ["delay", "final check"]
    (line,) = (copy.bench_results / "tune-history.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["winner"] == found["winner"]

    delay = found["winner"]["delay_us"]
    assert found["changes"] == {"max_queue_delay_us": delay} and delay < 150000
    assert path.read_text(encoding="utf-8") == start.replace("= 150000  # too long", f"= {delay}  # too long")
    assert catalog.load(copy, MODEL).serving.max_queue_delay_us == delay
    assert f"wrote catalog/{MODEL}.toml" in done.err and f"luxe export {MODEL}" in done.err
    left = [p for p in psutil.process_iter(["cmdline"]) if "luxe-tune-" in " ".join(p.info["cmdline"] or ())]
    assert left == []


def test_a_model_that_is_not_published_is_refused(copy):
    for entry in copy.repository.glob("*"):
        entry.rename(copy.root / entry.name)
    assert_refused(luxe("tune", MODEL, "--root", copy.root, *TINY), MODEL, "luxe export")
    assert not copy.bench_results.exists()
