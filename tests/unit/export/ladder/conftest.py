import dataclasses

import numpy as np
import pytest
from architectures import MAX_LENGTH
from small_models import bring, one_thread

from luxe import catalog
from luxe.project import Project
from luxe_export import graph
from luxe_export.checkpoint import source
from luxe_export.gate.answering import row_inputs
from luxe_export.ladder import Workshop, cpu_family
from luxe_serving.onnx_engine import session


@dataclasses.dataclass(frozen=True)
class Small:
    """A small model at work: its graphs, and rows of tokens for it."""

    workshop: Workshop
    source: source.Source
    rows: list
    """Of the test set, as the tokenizer gives them."""

    def answers(self, path, *, size=1, length=None):
        """The logits of all rows, in batches of ``size`` or padded to ``length``."""
        engine = session(path)
        names = [value.name for value in engine.get_inputs()]
        padding = self.source.tokenizer.pad_token_id
        batches = [self.rows[i : i + size] for i in range(0, len(self.rows), size)]
        return np.concatenate([engine.run(None, row_inputs(b, names, padding, length))[0] for b in batches])


@pytest.fixture(scope="package")
def small(tmp_path_factory):
    """A small model of an architecture, made when first asked for."""
    made = {}

    def get(architecture):
        if architecture not in made:
            made[architecture] = make(architecture, tmp_path_factory.mktemp(architecture))
        return made[architecture]

    with one_thread():
        yield get


def make(architecture, folder):
    brought = bring(folder, architecture, "single-label", "small", tests=24, trains=24)
    loaded = source.load(catalog.load(Project.open(folder), "small"), brought.folder)
    (folder / "scratch").mkdir()
    raw = graph.to_onnx(loaded, folder / "scratch")
    names = graph.input_names(raw)
    tokens = [dict(loaded.tokenizer(row, truncation=True, max_length=MAX_LENGTH)) for row in brought.rows]

    def batches():
        for row in tokens:
            yield row_inputs([row], names, loaded.tokenizer.pad_token_id)

    return Small(Workshop(raw, loaded.config, folder / "scratch", cpu_family(), batches), loaded, tokens)
