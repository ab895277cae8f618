"""A model is exported anew while a server runs: who serves which version, and which engine answers it."""

import json
import signal

import numpy as np
import pytest
import tritonclient.grpc
from conformance import expected
from e2e_support import set_key
from small_models import bring

from luxe import catalog
from luxe.project import Project
from luxe_client import Client

NAME = "colours"
END_S = 40.0


@pytest.fixture
def brought(tmp_path):
    return bring(tmp_path / "project", "distilbert", "single-label", NAME)


def publish(project):
    from luxe_export.run import export

    return export(project, catalog.load(project, NAME), project.checkpoint(NAME), candidates=["fp32"]).version


def test_a_new_version_is_served_after_a_restart_beside_the_old_engine(brought, tmp_path, serve):
    """The running server keeps version 1; the next one serves 2, and the engine in both versions."""
    project = Project.open(tmp_path / "project")
    assert publish(project) == 1
    before = serve(project.root).until_ready()
    set_key(project.catalog / f"{NAME}.toml", "review_threshold", "0.99")
    assert publish(project) == 2
    texts, theirs = brought.rows, expected(brought)
    with Client(before.address.grpc, timeout_s=30.0, batch_size=16) as client:
        answers = client.classify(NAME, texts)
    assert {a.version for a in answers} == {"1"}
    assert [a.needs_review for a in answers] == [a.score < 0.5 for a in answers]

    after = serve(project.root).until_ready()
    with Client(after.address.grpc, timeout_s=30.0, batch_size=16) as client:
        answers = client.classify(NAME, texts)
    assert {a.version for a in answers} == {"2"}
    assert [a.needs_review for a in answers] == [a.score < 0.99 for a in answers]
    assert {True, False} == {a.needs_review for a in answers}
    assert np.abs(np.array([list(a.scores.values()) for a in answers]) - theirs).max() < 1e-4
    settings = json.loads((project.repository / NAME / "2" / "luxe.json").read_text(encoding="utf-8"))
    with tritonclient.grpc.InferenceServerClient(after.address.grpc) as raw:
        for version in ("1", "2"):
            inputs = []
            for tensor in settings["engine_inputs"]:
                inputs.append(tritonclient.grpc.InferInput(tensor, [1, 4], "INT64"))
                inputs[-1].set_data_from_numpy(np.ones((1, 4), np.int64))
            logits = raw.infer(settings["engine"], inputs, model_version=version).as_numpy("logits")
            assert logits.shape == (1, len(settings["labels"]))
            assert np.isfinite(logits).all()
        assert not raw.is_model_ready(NAME, "1")
    for serving in (before, after):
        serving.signal(signal.SIGTERM)
        assert serving.end(timeout_s=END_S) == 0
        assert serving.left() == []
