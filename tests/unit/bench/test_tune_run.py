"""`luxe tune` from the command to the catalogue, on a made-up machine."""

import contextlib
import json
import types

import pytest
from tune_figures import measured
from typer.testing import CliRunner

from luxe import catalog
from luxe.cli import Knob, app
from luxe.errors import Rejected, UserError
from luxe.manifest import Manifest
from luxe.project import Project
from luxe_bench.tune import knobs, record, run

HEAD = 'description = "x"\ntask = "text-classification"\nlabels = ["red", "green"]\nmax_length = 32\n'
SLO = "[slo]\nrequests_per_s = 1\np50_ms = 1\np95_ms = 1\np99_ms = 1\nmax_error_share = 0.0\n"
FILE = f"{HEAD}\n[serving]  # as measured\nmax_micro_batch = 16\nengine_instances = 1\n\n{SLO}"
COMMAND = {"texts": 32, "rounds": 1}


class Machine:
    """Two cores; engines and a micro-batch of 8 are what counts."""

    met, wrong = True, 0

    def __init__(self, rig, to_serving, rounds, texts):
        rig.wrong = self.wrong
        self.others = [0.1, 0.3, 0.0]
        self._to_serving = to_serving

    def __call__(self, name, values):
        assert all(self._to_serving(one).max_micro_batch == one.micro_batch for one in values)
        speeds = [100 * one.instances + 50 * (one.micro_batch == 8) for one in values]
        return [measured(one, (speed,) * 3, met=self.met) for one, speed in zip(values, speeds, strict=True)]


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "catalog").mkdir()
    (tmp_path / "catalog" / "m.toml").write_text(FILE, encoding="utf-8")

    def rig(project, entry, manifest, scratch, seconds):
        return types.SimpleNamespace(reference=contextlib.nullcontext(), checked=100, wrong=0, seconds=seconds)

    published = Manifest(model="m", version=1, rollback_of=None, files={}, target="cpu")
    monkeypatch.setattr(run.copies, "newest", lambda project, name: published)
    monkeypatch.setattr(run, "_rig", rig)
    monkeypatch.setattr(run, "Trial", Machine)
    monkeypatch.setattr(run.counted, "granted", lambda: 2)
    return Project.open(tmp_path)


def text(project):
    return (project.catalog / "m.toml").read_text(encoding="utf-8")


def kept(project):
    (folder,) = project.bench_results.glob("m-tune-*")
    assert {path.name for path in folder.iterdir()} == {"tune.json", "tune.png", "tune.svg"}
    assert len((project.bench_results / record.HISTORY).read_text(encoding="utf-8").splitlines()) == 1
    return json.loads((folder / "tune.json").read_text(encoding="utf-8"))


def test_the_winner_comes_into_the_catalogue(project, capsys):
    content = run.tune(project, "m", **COMMAND)
    assert content == kept(project)
    assert content["changes"] == {"engine_instances": None, "max_micro_batch": 8}
    assert content["others_share"] == {"median": 0.1, "most": 0.3}
    assert text(project) == FILE.replace("max_micro_batch = 16\nengine_instances = 1\n", "max_micro_batch = 8\n")
    assert catalog.load(project, "m").serving.max_micro_batch == 8
    said = capsys.readouterr()
    assert "winner: 2 × 1, micro-batch 8, 0 µs" in said.out
    assert said.err.splitlines()[-1] == (
        "wrote catalog/m.toml: max_micro_batch = 8, engine_instances left out; `luxe export m` publishes it"
    )


def test_one_knob_alone(project):
    result = CliRunner().invoke(app, ["tune", "m", "--root", str(project.root), "--knob", "micro-batch", "--json"])
    assert result.exit_code == 0, result.exception
    assert kept(project)["changes"] == {"max_micro_batch": 8}
    assert [stage["name"] for stage in kept(project)["stages"]] == ["micro-batch", "final check"]


def test_a_dry_run_leaves_the_catalogue(project, capsys):
    content = run.tune(project, "m", **COMMAND, dry_run=True, as_json=True)
    assert text(project) == FILE
    said = capsys.readouterr()
    assert json.loads(said.out) == content == kept(project)
    assert "stays as it is (--dry-run); the winner: max_micro_batch = 8" in said.err


def test_a_catalogue_that_says_the_best_stays(project, capsys):
    best = FILE.replace("max_micro_batch = 16", "max_micro_batch = 8").replace("engine_instances = 1", "# open")
    (project.catalog / "m.toml").write_text(best, encoding="utf-8")
    assert run.tune(project, "m", **COMMAND)["changes"] == {}
    assert text(project) == best
    assert "catalog/m.toml stays as it is" in capsys.readouterr().err


def test_where_nothing_keeps_the_slo_nothing_is_written(project, monkeypatch):
    monkeypatch.setattr(Machine, "met", False)
    with pytest.raises(Rejected, match=r"no setting meets the \[slo\]; nothing is written"):
        run.tune(project, "m", **COMMAND)
    assert text(project) == FILE
    assert kept(project)["winner"] is None


def test_wrong_answers_fail_the_run(project, monkeypatch):
    monkeypatch.setattr(Machine, "wrong", 3)
    with pytest.raises(Rejected, match="3 of 100 answers were wrong; nothing is written"):
        run.tune(project, "m", **COMMAND)
    assert text(project) == FILE
    assert kept(project)["wrong"] == 3 and kept(project)["changes"] == {}


def test_a_catalogue_that_was_edited_meanwhile_is_not_touched(project, monkeypatch):
    class Slow(Machine):
        def __call__(self, name, values):
            (project.catalog / "m.toml").write_text(FILE + "# mine\n", encoding="utf-8")
            return super().__call__(name, values)

    monkeypatch.setattr(run, "Trial", Slow)
    with pytest.raises(UserError, match=r"catalog/m\.toml was changed meanwhile: nothing is written"):
        run.tune(project, "m", **COMMAND)
    assert text(project) == FILE + "# mine\n"
    kept(project)


@pytest.mark.parametrize("target", ["cuda", "tensorrt"])
def test_a_model_of_a_gpu_is_refused(project, monkeypatch, target):
    published = Manifest(model="m", version=1, rollback_of=None, files={}, target=target)
    monkeypatch.setattr(run.copies, "newest", lambda project, name: published)
    with pytest.raises(UserError, match=f"m is published for {target}: .* shares a CPU's cores"):
        run.tune(project, "m", **COMMAND)


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (HEAD.replace("max_length", "text_pairs = true\nmax_length") + SLO, "single texts one label"),
        ('description = "x"\ntask = "feature-extraction"\nmax_length = 32\n' + SLO, "single texts one label"),
        (FILE, "m is not published: run `luxe export m` first"),
        (FILE + "colour = 1", "unknown key 'slo.colour'"),
    ],
)
def test_what_cannot_be_tuned_is_refused(tmp_path, file, words):
    (tmp_path / "catalog").mkdir()
    (tmp_path / "catalog" / "m.toml").write_text(file, encoding="utf-8")
    done = CliRunner().invoke(app, ["tune", "m", "--root", str(tmp_path)])
    assert isinstance(done.exception, UserError)
    assert words in str(done.exception)


def test_the_command_has_the_coordinates():
    assert [one.value for one in Knob] == list(knobs.COORDINATES)


@pytest.mark.parametrize("arguments", [["--texts", "31"], ["--rounds", "0"], ["--seconds", "0"], ["--knob", "speed"]])
def test_options_are_checked(arguments, tmp_path):
    assert CliRunner().invoke(app, ["tune", "m", "--root", str(tmp_path), *arguments]).exit_code == 2


def test_a_missing_tomlkit_is_said(project, monkeypatch):
    monkeypatch.setattr(run.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"no tomlkit .*pip install 'luxe\[bench\]'"):
        run.tune(project, "m", **COMMAND)
