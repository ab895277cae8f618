"""The verdict of a run is the command's: made-up calls, everything else as it is."""

import json
from types import SimpleNamespace

import pytest
from chaos_calls import EVENTS, PHASES, some

from luxe.errors import Rejected, UserError
from luxe.manifest import Manifest
from luxe.project import Project
from luxe_bench.chaos import run
from luxe_bench.chaos.run import Plan, bench

ENTRY = SimpleNamespace(
    name="m", task="text-classification", problem_type="single_label_classification", text_pairs=False, labels=()
)
PLAN = Plan((), seconds=60.0, calm_s=15.0, rate=15.0, timeout_s=10.0, asyncio=False)


@pytest.fixture
def after(monkeypatch, tmp_path):
    """Run the bench as if these calls had been made."""
    replicas = [SimpleNamespace(address=SimpleNamespace(grpc=f"{name}:1")) for name in "abc"]
    scene = SimpleNamespace(phases=PHASES, events=EVENTS, replicas=replicas)
    manifest = Manifest(model="m", version=1, rollback_of=None, files={}, precision="int8")
    monkeypatch.setattr(run.copies, "newest", lambda *_: manifest)
    monkeypatch.setattr(run, "load", lambda *_: SimpleNamespace(texts=("hello",)))
    monkeypatch.setattr(run, "Published", lambda *_: None)

    def after(calls):
        monkeypatch.setattr(run, "_run", lambda *_: (scene, calls, 50.0))
        return bench(Project(tmp_path), ENTRY, PLAN, as_json=True)

    return after


def test_a_run_without_a_failed_call_passes_and_is_kept(after, tmp_path, capfd):
    content = after(some())
    assert content["passed"]
    assert json.loads(capfd.readouterr().out) == content
    (folder,) = (tmp_path / "benchmarks" / "results").glob("m-chaos-*")
    assert {path.name for path in folder.iterdir()} == {"chaos.json", "calls.png", "calls.svg"}


@pytest.mark.parametrize(
    ("last", "missed"),
    [({"outcome": "Unavailable"}, "failed calls"), ({"wrong": True}, "wrong answers"), ({"tries": 21}, "tries a call")],
)
def test_one_that_misses_a_target_is_rejected_and_kept(after, tmp_path, last, missed):
    with pytest.raises(Rejected, match=f"m misses: {missed}"):
        after(some(**last))
    (line,) = (tmp_path / "benchmarks" / "results" / "chaos-history.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["missed"] == [missed]


def test_only_models_that_give_one_text_one_label_are_called(tmp_path):
    with pytest.raises(UserError, match="one label"):
        bench(Project(tmp_path), SimpleNamespace(**{**vars(ENTRY), "text_pairs": True}), PLAN, as_json=False)
