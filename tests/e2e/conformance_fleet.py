"""A fleet of small models, of every architecture and task, each exported with candidates that are kept."""

import dataclasses
import shutil
from pathlib import Path

import conformance
import pytest
from e2e_support import manifest, set_key
from small_kinds import KINDS
from small_models import Brought, bring

from luxe import catalog
from luxe.project import Project

__all__ = ["EXACT", "FLEET", "Fleet", "Spec", "fleet_of", "make"]

DEFAULT = ("fp32", "int8-per-token", "int8-mixed", "int8-static", "int8-dynamic")
OTHERS = (
    *("int8-mixed-float", "int8-static-percentile", "int8-static-entropy"),
    *("int8-qdq", "int8-qdq-per-tensor", "int4-weights"),
)
EXACT = 1e-4
"""What float arithmetic in another order may change."""


@dataclasses.dataclass(frozen=True)
class Spec:
    """A model of the fleet."""

    architecture: str
    kind: str
    published: str
    """The candidate that is served."""
    candidates: tuple[str, ...]
    """What is built and measured."""
    catalogue: dict[str, object] = dataclasses.field(default_factory=dict)
    """Keys other than the kind's own."""

    @property
    def name(self):
        return f"{self.architecture}-{self.kind}"

    @property
    def brought_as(self):
        kind = KINDS[self.kind]
        return dataclasses.replace(kind, catalogue={**kind.catalogue, **self.catalogue})


def _one(architecture, kind, published, **catalogue):
    return Spec(architecture, kind, published, (published,), catalogue)


# Every task with two architectures or more. Between them: WordPiece, byte-level BPE and Unigram; with token types and
# without; the float engine and an integer one.
FLEET = {
    spec.name: spec
    for spec in (
        Spec("bert", "single-label", "fp32", DEFAULT),
        Spec("distilbert", "single-label", "fp32", DEFAULT),
        Spec("roberta", "single-label", "fp32", DEFAULT),
        Spec("xlm-roberta", "single-label", "fp32", DEFAULT),
        Spec("deberta-v2", "single-label", "fp32", DEFAULT),
        Spec("deberta-v3", "single-label", "fp32", DEFAULT),
        Spec("electra", "single-label", "fp32", DEFAULT),
        Spec("albert", "single-label", "fp32", DEFAULT + OTHERS),
        Spec("mpnet", "single-label", "fp32", DEFAULT),
        _one("distilbert", "multi-label", "int8-mixed"),
        _one("electra", "multi-label", "fp32"),
        _one("roberta", "regression", "int8-mixed"),
        _one("albert", "regression", "fp32"),
        _one("bert", "pairs", "fp32"),
        _one("albert", "pairs", "int8-static"),
        _one("roberta", "token-classification", "fp32", aggregation_strategy="average"),
        _one("deberta-v3", "token-classification", "fp32"),
        _one("electra", "token-classification", "int8-per-token", aggregation_strategy="max"),
        _one("mpnet", "feature-extraction", "int8-mixed"),
        _one("bert", "feature-extraction", "fp32", pooling="cls"),
        _one("xlm-roberta", "zero-shot-classification", "int8-mixed"),
        _one("roberta", "zero-shot-classification", "fp32"),
        _one("xlm-roberta", "text-ranking", "int8-per-token"),
        _one("mpnet", "text-ranking", "fp32"),
    )
}


fleet_of = pytest.mark.parametrize("name", FLEET)


@dataclasses.dataclass(frozen=True)
class Fleet:
    project: Project
    brought: dict[str, Brought]
    built: Path
    """``MODEL/CANDIDATE.onnx``: all that the gate has measured."""
    _theirs: dict[str, object] = dataclasses.field(default_factory=dict)

    def theirs(self, name):
        """What PyTorch answers to the test set."""
        if name not in self._theirs:
            self._theirs[name] = conformance.expected(self.brought[name])
        return self._theirs[name]

    def published(self, name):
        """What the gate measured of the candidate that is served."""
        return self.measured(name)[FLEET[name].published]

    def measured(self, name):
        """What the gate measured of each candidate."""
        return {c["candidate"]: c["measurement"] for c in manifest(self.project, name)["candidates"]}


def make(root):
    """Export the whole fleet; candidates that are not published are kept too."""
    from luxe_export import ladder
    from luxe_export.run import export

    (root / "catalog").mkdir()
    fleet = Fleet(Project.open(root), {}, root / "built")
    build = ladder.build
    for name, spec in FLEET.items():
        with conformance.few_words():
            fleet.brought[name] = bring(root, spec.architecture, spec.brought_as, name)
        if spec.published == "fp32" and len(spec.candidates) > 1:
            # Only fp32 passes the one, and the other stops no measurement early.
            set_key(fleet.project.catalog / f"{name}.toml", "max_change", EXACT)
            set_key(fleet.project.catalog / f"{name}.toml", "max_batch_change", 10.0)
        (fleet.built / name).mkdir(parents=True)

        def keep(recipe, workshop, target, folder=fleet.built / name):
            build(recipe, workshop, target)
            shutil.copyfile(target, folder / f"{recipe.name}.onnx")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ladder, "build", keep)
            entry = catalog.load(fleet.project, name)
            done = export(fleet.project, entry, fleet.brought[name].folder, candidates=spec.candidates)
        assert (done.version, done.precision, done.reused) == (1, spec.published, False)
    return fleet
