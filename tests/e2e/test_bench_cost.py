"""`luxe bench cost` with real servers, a few dozen texts."""

import json

import psutil
from e2e_support import MODEL, assert_refused, luxe, tree

TINY = ("--texts", "40", "--seconds", "1")


def test_a_tiny_run_measures_every_part(copy):
    before = tree(copy.repository)
    done = luxe("bench", "cost", MODEL, "--root", copy.root, *TINY, "--json", timeout_s=400)
    assert done.status in (0, 1), done.err
    found = json.loads(done.out)
    assert done.status == (0 if found["passed"] else 1)
    assert tree(copy.repository) == before, "the published model is only read"

    assert found["wrong"] == 0 and found["checked"] > 500
    ratio, latency, overload = found["ratio"], found["latency"], found["overload"]
    assert ratio["luxe_over_engine_cpu"] > 0.5
    assert all(len(rounds) == 1 and rounds[0]["answered"] == 40 for rounds in ratio["servers"].values())
    assert [one["answered"] for one in latency["callers"].values()] == [40] * 4
    assert 0.2 < latency["padding_share_to_the_longest"] < 0.9
    assert [step["share"] for step in overload["steps"]] == [0.25, 0.5, 0.8, 0.9, 1.0, 1.1, 1.5, 3.0]
    assert all(step["summary"]["requests"] > 0 for step in overload["steps"])
    one, eight = (found["memory"]["models"][count]["proportional_bytes"] for count in ("1", "8"))
    assert 5e7 < one < eight
    assert found["neighbours"]["ratio"] > 0

    (folder,) = copy.bench_results.glob(f"{MODEL}-cost-*")
    assert json.loads((folder / "cost.json").read_text(encoding="utf-8")) == found
    assert {path.name for path in folder.iterdir()} == {"cost.json", "latency.png", "latency.svg"}
    (line,) = (copy.bench_results / "cost-history.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["measured"].keys() == {check["name"] for check in found["checks"]}
    left = [p for p in psutil.process_iter(["cmdline"]) if str(copy.root) in " ".join(p.info["cmdline"] or ())]
    assert left == []


def test_a_model_that_is_not_published_is_refused(copy):
    for entry in copy.repository.glob("*"):
        entry.rename(copy.root / entry.name)
    assert_refused(luxe("bench", "cost", MODEL, "--root", copy.root, *TINY), MODEL, "luxe export")
    assert not copy.bench_results.exists()
