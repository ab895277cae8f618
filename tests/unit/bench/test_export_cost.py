import dataclasses
import json
import sys

import numpy as np
import pytest

from luxe.errors import Rejected
from luxe.project import Project
from luxe_bench import export_cost, processes, standard_model
from luxe_bench.export_cost import judge
from luxe_bench.processes import Cost
from luxe_export import ladder

ALL = {recipe.name: True for recipe in ladder.recipes("cpu")}
GOOD = Cost(status=0, wall_s=240.0, cpu_s=400.0, peak_bytes=6_000_000_000, largest_bytes=5_000_000_000)
TINY = standard_model.Size(vocabulary=400, width=32, layers=1, heads=2, inner=64, max_length=24, texts=40)


def missed(result):
    return [check.name for check in result.checks if not check.met]


def test_at_the_bounds_it_passes():
    result = judge(GOOD, [], ALL)
    assert result.passed and missed(result) == []


@pytest.mark.parametrize("change, name", [({"wall_s": 240.1}, "seconds"), ({"peak_bytes": 6_000_000_001}, "peak GB")])
def test_each_bound_is_held(change, name):
    result = judge(dataclasses.replace(GOOD, **change), [], ALL)
    assert not result.passed and missed(result) == [name]


@pytest.mark.parametrize("candidates", [{**ALL, "int8-static": False}, {"fp32": True}, {}])
def test_an_export_that_measured_less_is_no_faster(candidates):
    assert missed(judge(GOOD, [], candidates)) == ["candidates"]


def test_texts_are_of_the_length_mix():
    known = standard_model.words(30_522)
    made = standard_model.texts(500, known, seed=1)
    lengths = np.array([len(text.split()) for text in made])
    assert lengths.min() >= 3 and lengths.max() <= 80
    assert 13 <= np.median(lengths) <= 17
    assert 30 <= np.percentile(lengths, 90) <= 50
    assert np.log(lengths).std() == pytest.approx(0.72, abs=0.08)


@pytest.mark.parametrize("vocabulary", [400, 30_522])
def test_one_word_in_five_takes_two_tokens(vocabulary):
    known = standard_model.words(vocabulary)
    size = dataclasses.replace(standard_model.DISTILBERT_BASE, vocabulary=vocabulary)
    tokenizer = standard_model._tokenizer(size, known)
    written = " ".join(standard_model.texts(300, known, seed=3)).split()
    counts = [len(tokenizer.tokenize(word)) for word in written]
    assert set(counts) == {1, 2}
    assert np.mean(counts) == pytest.approx(1.2, abs=0.02)


def test_the_load_before_is_not_the_benchs_own(tmp_path, monkeypatch):
    load = [0.5]
    monkeypatch.setattr(export_cost.os, "getloadavg", lambda: (load[0], 0, 0))
    monkeypatch.setattr(standard_model, "write", lambda root, size: load.__setitem__(0, 2.0))
    monkeypatch.setattr(export_cost, "_export", lambda root, log: (GOOD, []))
    monkeypatch.setattr(export_cost, "_measured", lambda project: ALL)
    (tmp_path / "catalog").mkdir()
    project = Project.open(tmp_path)
    export_cost.bench(project, as_json=True)
    line = json.loads((project.bench_results / export_cost.HISTORY).read_text(encoding="utf-8"))
    assert (line["load_before"], line["load_after"]) == (0.5, 2.0)


def test_texts_are_the_same_by_seed():
    known = standard_model.words(3000)
    assert standard_model.texts(5, known, seed=1) == standard_model.texts(5, known, seed=1)
    assert standard_model.texts(5, known, seed=1) != standard_model.texts(5, known, seed=2)


def test_a_vocabulary_has_its_size():
    known = standard_model.words(30_522)
    assert len(set(known)) == len(known)
    size = dataclasses.replace(standard_model.DISTILBERT_BASE)
    assert len(standard_model._tokenizer(size, known)) == 30_522
    with pytest.raises(ValueError, match="no room for words"):
        standard_model.words(100)


def test_a_tree_is_measured_as_a_whole(tmp_path):
    """A child that holds 200 MB and works for half a second, below one that only waits."""
    work = (
        "import time; x = bytearray(200 << 20); end = time.process_time() + 0.5\nwhile time.process_time() < end: pass"
    )
    wait = f"import subprocess, sys; print('▸ waits', flush=True); subprocess.run([sys.executable, '-c', {work!r}])"
    seen = []
    cost = processes.run([sys.executable, "-c", wait], log=tmp_path / "log", cores=[0], look=seen.append)
    assert cost.status == 0
    assert cost.cpu_s >= 0.5 and cost.wall_s >= 0.5
    assert cost.peak_bytes >= cost.largest_bytes >= 200 << 20
    assert max(now.resident_bytes for now in seen) >= 200 << 20
    assert (tmp_path / "log").read_text(encoding="utf-8") == "▸ waits\n"


def test_a_failed_command_is_told_by_its_status(tmp_path):
    cost = processes.run([sys.executable, "-c", "raise SystemExit(3)"], log=tmp_path / "log", cores=[0])
    assert cost.status == 3


def test_a_small_model_goes_the_whole_way(tmp_path, capsys):
    (tmp_path / "catalog").mkdir()
    project = Project.open(tmp_path)
    result = export_cost.bench(project, as_json=True, size=TINY)
    assert result.passed and result.candidates == ALL
    assert result.cost.cpu_s > 1 and 2e8 < result.cost.largest_bytes < 3e9
    names = [phase.name.split()[0] for phase in result.phases]
    assert names == ["start", "PyTorch", "exporting", "building"]
    assert sum(phase.cpu_s for phase in result.phases) == pytest.approx(result.cost.cpu_s, rel=0.2)
    printed = json.loads(capsys.readouterr().out)
    (line,) = (project.bench_results / export_cost.HISTORY).read_text(encoding="utf-8").splitlines()
    assert json.loads(line) == printed
    assert printed["passed"] and printed["texts"] == 40


def test_a_miss_is_written_down_and_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(export_cost, "MAX_SECONDS", 1e-3)
    monkeypatch.setattr(export_cost, "_export", lambda root, log: (GOOD, []))
    monkeypatch.setattr(export_cost, "_measured", lambda project: ALL)
    monkeypatch.setattr(standard_model, "write", lambda root, size: None)
    (tmp_path / "catalog").mkdir()
    project = Project.open(tmp_path)
    with pytest.raises(Rejected, match=r"luxe export misses: seconds$"):
        export_cost.bench(project, as_json=False)
    assert json.loads((project.bench_results / export_cost.HISTORY).read_text(encoding="utf-8"))["passed"] is False
