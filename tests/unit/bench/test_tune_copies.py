"""A server that is tuned runs what `luxe export` would publish of the same catalogue."""

import dataclasses
import json

import pytest
from google.protobuf import text_format
from text_models import SETTINGS
from tritonclient.grpc import model_config_pb2 as pb

from luxe.manifest import MANIFEST, parse
from luxe.schema import Serving
from luxe_bench.cost import copies
from luxe_export.publishing import triton_config
from luxe_export.publishing.publish import Parts, publish
from luxe_serving.launcher.override import AUTO_INSTANCES
from luxe_serving.text.settings import Settings

INPUTS = ["input_ids", "attention_mask"]
OLD = Serving(max_micro_batch=8, max_queue=99)
NEW = Serving(
    max_batch_size=64,
    max_micro_batch=4,
    max_queue=77,
    max_queue_delay_us=1000,
    cache_bytes=5,
    engine_instances=3,
    intra_op_threads=2,
)


def configs(entry, serving):
    entry = entry.model_copy(update={"name": "m", "serving": serving})
    return triton_config.engine(entry, INPUTS), triton_config.text(entry)


@pytest.fixture
def published(entry, tmp_path):
    """A repository with version 1 of `m`, as the old settings have it."""
    engine, text = (triton_config.to_text(config).encode() for config in configs(entry, OLD))
    publish(
        tmp_path / "source",
        Parts("m-engine", {"config.pbtxt": engine}, {"model.onnx": b"onnx"}),
        Parts("m", {"config.pbtxt": text}, {"luxe.json": SETTINGS.to_json().encode(), "tokenizer.json": b"{}"}),
        {},
    )
    return tmp_path / "source", parse((tmp_path / "source" / "m" / "1" / MANIFEST).read_bytes())


def read(repository):
    parts = [
        text_format.Parse((repository / n / "config.pbtxt").read_text(), pb.ModelConfig()) for n in ("m-engine", "m")
    ]
    return (*parts, json.loads((repository / "m" / "1" / "luxe.json").read_text()))


@pytest.mark.parametrize("serving", [NEW, Serving(intra_op_threads=2), Serving(engine_instances=1)])
def test_what_the_catalogue_says_is_served(published, entry, tmp_path, serving):
    engine, text, settings = read(copies.copy(*published, ["m"], tmp_path / "copy", serving=serving))
    assert (engine, text) == configs(entry, serving)
    own = {
        field.name: getattr(serving, field.name, getattr(SETTINGS, field.name))
        for field in dataclasses.fields(Settings)
    }
    assert settings == json.loads(json.dumps({**own, "engine": "m-engine"}))


def test_instances_that_were_fixed_are_left_open_again(published, tmp_path):
    fixed = copies.copy(*published, ["m"], tmp_path / "fixed", serving=NEW)
    engine, _, settings = read(fixed)
    assert AUTO_INSTANCES not in engine.parameters and settings["engine_instances"] == 3
    manifest = parse((fixed / "m" / "1" / MANIFEST).read_bytes())
    engine, _, settings = read(copies.copy(fixed, manifest, ["m"], tmp_path / "open", serving=OLD))
    assert engine.parameters[AUTO_INSTANCES].string_value == "auto" and settings["engine_instances"] is None


def test_without_it_the_copy_is_what_was_published(published, entry, tmp_path):
    engine, text, settings = read(copies.copy(*published, ["m"], tmp_path / "copy", change={"cache_bytes": 1}))
    assert (engine, text) == configs(entry, OLD)
    assert settings == json.loads(SETTINGS.to_json()) | {"engine": "m-engine", "cache_bytes": 1}


def test_the_queue_delay_is_tritons(entry):
    _, text = configs(entry, NEW)
    assert text.dynamic_batching.max_queue_delay_microseconds == 1000
    assert text.dynamic_batching.default_queue_policy.max_queue_size == NEW.max_queue
    assert configs(entry, OLD)[1].dynamic_batching.max_queue_delay_microseconds == 0


def test_a_delay_of_nothing_leaves_what_was_published_up_to_date():
    """`luxe export` compares dumps of the catalogue; the key is younger than some of what is published."""
    assert "max_queue_delay_us" not in OLD.model_dump(mode="json")
    assert NEW.model_dump(mode="json")["max_queue_delay_us"] == 1000


def test_a_delay_is_not_negative():
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        Serving(max_queue_delay_us=-1)
