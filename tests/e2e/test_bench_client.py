"""`luxe bench client` with a real server, a few dozen texts."""

import json

from e2e_support import MODEL, assert_refused, luxe, tree

TINY = ("--rounds", "2", "--calls", "100", "--texts", "64")


def test_a_tiny_run_measures_both_parts(copy):
    before = tree(copy.repository)
    done = luxe("bench", "client", MODEL, "--root", copy.root, *TINY, "--json", timeout_s=200)
    assert done.status in (0, 1), done.err
    found = json.loads(done.out)
    assert done.status == (0 if found["passed"] else 1)
    assert tree(copy.repository) == before, "the published model is only read"

    assert [(one["shell"], one["callers"]) for one in found["calls"]] == [
        ("sync", 1),
        ("asyncio", 1),
        ("sync", 8),
        ("asyncio", 8),
    ]
    for one in found["calls"]:
        assert len(one["luxe_us"]) == len(one["tritonclient_us"]) == 2
        assert min(one["luxe_us"] + one["tritonclient_us"]) > 50, "no call costs so little"
        assert 0.5 < one["ratio"] < 10
    assert found["stream"]["differing"] == 0
    assert all(len(rounds) == 2 and min(rounds) > 1 for rounds in found["stream"]["per_s"].values())

    (folder,) = copy.bench_results.glob(f"{MODEL}-client-*")
    assert json.loads((folder / "client.json").read_text(encoding="utf-8")) == found
    (line,) = (copy.bench_results / "client-history.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["measured"].keys() == {check["name"] for check in found["checks"]}


def test_a_model_that_is_not_published_is_refused(copy):
    for entry in copy.repository.glob("*"):
        entry.rename(copy.root / entry.name)
    assert_refused(luxe("bench", "client", MODEL, "--root", copy.root, *TINY), MODEL, "luxe export")
    assert not copy.bench_results.exists()
