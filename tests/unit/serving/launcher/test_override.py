import json

import pytest

from luxe.errors import UserError
from luxe_serving import cores
from luxe_serving.launcher.override import override

ENGINE = """
max_batch_size: 32
version_policy { latest { num_versions: 2 } }
instance_group { count: 2 kind: KIND_CPU }
parameters { key: "intra_op_thread_count" value { string_value: "2" } }
model_warmup { name: "1 x 8" batch_size: 1 inputs { key: "a" value { data_type: TYPE_INT64 dims: 8 zero_data: true } } }
"""
AUTO = 'parameters { key: "engine_instances" value { string_value: "auto" } }\n'


@pytest.fixture(autouse=True)
def seven_cores(monkeypatch):
    monkeypatch.setattr(cores, "granted", lambda: 7)


def entry(tmp_path, config, versions=(1,)):
    (tmp_path / "config.pbtxt").write_text(config)
    for version in versions:
        (tmp_path / str(version)).mkdir()
    return tmp_path


def test_the_published_config_will_do(tmp_path):
    assert override(entry(tmp_path, ENGINE)) is None


def test_instances_from_the_cores(tmp_path):
    config = json.loads(override(entry(tmp_path, ENGINE + AUTO)))
    assert config["instance_group"] == [{"count": 3, "kind": "KIND_CPU"}]  # 7 cores, 2 threads each
    assert config["max_batch_size"] == 32
    assert config["version_policy"] == {"latest": {"num_versions": 2}}
    assert config["model_warmup"][0]["inputs"]["a"]["dims"] == ["8"]


@pytest.mark.parametrize("threads", ["", 'parameters { key: "intra_op_thread_count" value { string_value: "0" } }'])
def test_instances_without_threads_are_the_cores(tmp_path, threads):
    config = json.loads(override(entry(tmp_path, f"max_batch_size: 8\n{threads}\n{AUTO}")))
    assert config["instance_group"] == [{"count": 7, "kind": "KIND_CPU"}]


def test_a_gpu_is_left_alone(tmp_path):
    config = AUTO + "instance_group { count: 1 kind: KIND_GPU gpus: 0 }\n"
    assert override(entry(tmp_path, config)) is None


def test_one_version_and_no_other_has_its_own_config_and_labels(tmp_path):
    text = 'max_batch_size: {}\noutput {{ name: "scores" label_filename: "labels.txt" }}\n'
    folder = entry(tmp_path, text.format(64), versions=(1, 2))
    (folder / "1" / "config.pbtxt").write_text(text.format(16))
    (folder / "1" / "labels.txt").write_text("a\n")
    config = json.loads(override(folder, [1]))
    assert config["max_batch_size"] == 16
    assert config["version_policy"] == {"specific": {"versions": ["1"]}}
    assert config["output"][0]["label_filename"] == "1/labels.txt"
    config = json.loads(override(folder, [1, 2]))
    assert config["max_batch_size"] == 64
    assert config["version_policy"] == {"specific": {"versions": ["1", "2"]}}
    assert config["output"][0]["label_filename"] == "labels.txt"


@pytest.mark.parametrize("config", ["max_batch_size: many", "nobody { knows: 1 }", None])
def test_a_spoilt_config_is_one_line(tmp_path, config):
    if config is not None:
        (tmp_path / "config.pbtxt").write_text(config)
    with pytest.raises(UserError, match=r"cannot read .*config\.pbtxt") as caught:
        override(tmp_path)
    assert len(str(caught.value).splitlines()) == 1
