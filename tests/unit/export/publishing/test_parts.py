"""What is published of a model, made from a model; nothing is trained and nothing is measured."""

import types

import numpy as np
import pytest
from onnx_graphs import node, write
from small_kinds import KINDS
from small_models import bring
from tokenizers import Tokenizer

from luxe import catalog
from luxe.errors import UserError
from luxe.project import Project
from luxe_export import evaluation
from luxe_export.checkpoint import source
from luxe_export.gate.reference import reference
from luxe_export.gpu import tensorrt_plan
from luxe_export.publishing import parts
from luxe_serving.text.settings import Settings

WIDTH = {"single-label": 3, "token-classification": 5, "feature-extraction": 64, "text-ranking": 1}
FROM_CATALOGUE = ("max_batch_size", "max_micro_batch", "max_padding_share", "max_text_bytes", "engine_instances")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A kind's catalogue entry, source, and the two parts, made when first asked for."""
    found = {}

    def get(kind):
        if kind not in found:
            folder = tmp_path_factory.mktemp(kind)
            brought = bring(folder, "bert", kind, "small", tests=10, trains=10)
            entry = catalog.load(Project.open(folder), "small")
            loaded = source.load(entry, brought.folder)
            asked = reference(entry, loaded, evaluation.load(entry, folder / "data" / "small", loaded), lambda: None)
            # Of the graph only the inputs are read.
            weights = {"table": np.zeros((2, 3), np.float32)}
            inputs = [(name, 7) for name in ("attention_mask", "input_ids")]
            engine = write(folder / "e.onnx", [node("Gather", ["table", "input_ids"], "y")], weights, inputs=inputs)
            found[kind] = entry, loaded, engine, parts.parts(entry, loaded, engine, asked, "cpu", folder)
        return found[kind]

    return get


@pytest.mark.parametrize("kind", WIDTH)
def test_the_settings_are_the_catalogues_and_the_models(made, kind, tmp_path):
    entry, loaded, _, (_, text) = made(kind)
    (tmp_path / "luxe.json").write_bytes(text.version["luxe.json"])
    settings = Settings.read(tmp_path / "luxe.json")
    assert settings.engine == "small-engine" and settings.engine_inputs == ("attention_mask", "input_ids")
    assert settings.engine_output == ("embeddings" if kind == "feature-extraction" else "logits")
    assert settings.engine_width == WIDTH[kind]
    assert settings.task == KINDS[kind].task
    assert settings.labels == tuple(KINDS[kind].catalogue.get("labels", ()))
    assert settings.max_length == entry.max_length and settings.padding_id == loaded.tokenizer.pad_token_id
    for name in FROM_CATALOGUE:
        assert getattr(settings, name) == getattr(entry.serving, name)


@pytest.mark.parametrize("kind", WIDTH)
def test_the_files_of_both_entries(made, kind):
    _, loaded, engine, (first, text) = made(kind)
    assert (first.name, text.name) == ("small-engine", "small")
    assert first.version == {"model.onnx": engine} and set(first.shared) == {"config.pbtxt"}
    assert set(text.version) == {"luxe.json", "tokenizer.json"}
    labels = {"labels.txt"} if kind == "single-label" else set()
    assert set(text.shared) == {"config.pbtxt"} | labels
    assert b'name: "small-engine"' in first.shared["config.pbtxt"] and b'name: "small"' in text.shared["config.pbtxt"]
    tokenizer = Tokenizer.from_str(text.version["tokenizer.json"].decode())
    assert tokenizer.encode("bal kun").ids == loaded.tokenizer("bal kun")["input_ids"]


def test_labels_are_in_the_models_order(made):
    entry, _, _, (_, text) = made("single-label")
    assert text.shared["labels.txt"].decode().splitlines() == list(entry.labels)


def test_the_versions_that_the_server_must_read(made):
    assert parts.onnx_facts(made("single-label")[2]) == {"ir_version": 10, "opset": 18}


def test_a_plan_that_cannot_be_built_is_one_line(made, monkeypatch, tmp_path):
    def build(*arguments):
        raise ValueError("TensorRT builds no engine from fp16.onnx; its log says why")

    monkeypatch.setattr(tensorrt_plan, "build", build)
    entry, loaded, engine, _ = made("single-label")
    asked = types.SimpleNamespace(tokens=[loaded.tokenizer("bal kun")], lengths=np.array([4]))
    with pytest.raises(UserError, match=r"^small: TensorRT builds no engine"):
        parts.parts(entry, loaded, engine, asked, "tensorrt", tmp_path)
