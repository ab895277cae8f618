import dataclasses
import hashlib
import shutil

import numpy as np
import pytest
from onnx_graphs import matrices, node, operators, write

from luxe.errors import UserError
from luxe_export import ladder
from luxe_export.ladder import Recipe, Workshop

DEFAULT = ["fp32", "int8-mixed", "int8-per-token", "int8-static", "int8-dynamic"]
OPTIONAL = [
    "int8-mixed-float",
    "int8-static-percentile",
    "int8-static-entropy",
    "int8-qdq",
    "int8-qdq-per-tensor",
    "int4-weights",
]


def names(*arguments, **given):
    return [recipe.name for recipe in ladder.recipes(*arguments, **given)]


def test_what_is_tried_by_default():
    """The order settles ties: the first is what wins of two that are as fast."""
    assert names("cpu") == DEFAULT
    assert names("cuda") == ["fp16", "fp32"]
    assert names("tensorrt") == ["fp16"]


def test_without_training_texts_what_needs_them_is_left_out():
    assert names("cpu", calibrated=False) == ["fp32", "int8-per-token", "int8-dynamic"]
    assert names("cuda", calibrated=False) == names("cuda")


def test_names_are_taken_in_the_ladders_order():
    assert names("cpu", ["int8-static", "int4-weights", "fp32", "fp32"]) == ["fp32", "int8-static", "int4-weights"]
    assert names("cpu", DEFAULT + OPTIONAL) == DEFAULT + OPTIONAL


@pytest.mark.parametrize(("target", "name"), [("cpu", "int9"), ("cpu", "fp16"), ("cuda", "int8-static"), ("cpu", "")])
def test_an_unknown_name(target, name):
    with pytest.raises(UserError) as refused:
        ladder.recipes(target, ["fp32" if target == "cpu" else "fp16", name])
    message = str(refused.value)
    assert repr(name) in message and target in message
    assert all(known in message for known in names(target))
    assert "\n" not in message


@pytest.mark.parametrize("name", ["int8-static", "int8-mixed-float", "int8-qdq"])
def test_a_name_that_needs_training_texts(name):
    with pytest.raises(UserError, match=rf"{name}.*train\.jsonl"):
        ladder.recipes("cpu", ["fp32", name], calibrated=False)
    assert names("cpu", [name], calibrated=True) == [name]


def test_all_say_what_they_are():
    every = [r for target in ("cpu", "cuda", "tensorrt") for r in ladder.recipes(target)]
    every += ladder.recipes("cpu", OPTIONAL)
    assert all(r.about and "\n" not in r.about for r in every)


@pytest.mark.parametrize(("facts", "problem"), [({"opset": 22}, "opset 22"), ({"ir_version": 11}, "IR 11"), ({}, None)])
def test_a_graph_that_the_server_cannot_read_is_no_candidate(tmp_path, facts, problem):
    source = write(tmp_path / "source.onnx", [node("Neg", ["x"], "y")], {}, **facts)
    recipe = Recipe("copied", "a copy", lambda workshop, target: shutil.copyfile(source, target))
    shop = Workshop(source, None, tmp_path, "avx2", None)
    if problem is None:
        ladder.build(recipe, shop, tmp_path / "target.onnx")
    else:
        with pytest.raises(ValueError, match=problem):
            ladder.build(recipe, shop, tmp_path / "target.onnx")


def test_a_candidate_of_nothing_is_none(tmp_path):
    shop = Workshop(tmp_path / "raw.onnx", None, tmp_path, "avx2", None)
    with pytest.raises(ValueError, match="not an ONNX model"):
        ladder.build(Recipe("empty", "nothing", lambda _, target: target.write_bytes(b"")), shop, tmp_path / "x.onnx")


# Root mean square of what is lost, in standard deviations of the logits; without a number: what is no luxe scheme.
NEAR = {
    "fp32": 1e-5,
    "int8-mixed-float": 0.1,
    "int8-static-percentile": 0.1,
    "int8-static-entropy": 0.25,
    "int8-dynamic": 0.1,
    "int8-qdq": 0.25,
    "int8-qdq-per-tensor": 0.25,
    "int4-weights": 0.6,
}


@pytest.mark.parametrize("name", NEAR)
def test_it_is_built_and_answers(small, tmp_path, name):
    model = small("bert")
    (recipe,) = ladder.recipes("cpu", [name])
    ladder.build(recipe, model.workshop, tmp_path / "model.onnx")
    exact, close = model.answers(model.workshop.raw), model.answers(tmp_path / "model.onnx")
    lost = np.sqrt(np.square(close - exact).mean()) / exact.std()
    assert lost < NEAR[name]
    assert (lost > 1e-4) == (name != "fp32")
    found = operators(tmp_path / "model.onnx")
    left = len(matrices(tmp_path / "model.onnx"))
    every = len(matrices(model.workshop.open))
    if name == "int8-dynamic":
        assert "DynamicQuantizeLinear" in found
    elif name.startswith("int8-qdq"):
        assert "DequantizeLinear" in found
    elif name == "int4-weights":
        assert found.count("MatMulNBits") == every
    elif name == "int8-mixed-float":
        assert 0 < left < every / 2 and found.count("MatMulIntegerToFloat") == every - left
    elif name != "fp32":
        assert left == 0


BUILD_ALL = """
import sys
from pathlib import Path

import numpy as np
import transformers

from luxe_export import ladder

raw, checkpoint, texts, folder, *names = sys.argv[1:]
texts = np.load(texts)
count = 1 + max(int(key.split()[0]) for key in texts)
inputs = {key.split()[1] for key in texts}
batches = [{name: texts[f"{i} {name}"] for name in inputs} for i in range(count)]
config = transformers.AutoConfig.from_pretrained(checkpoint)
shop = ladder.Workshop(Path(raw), config, Path(folder), ladder.cpu_family(), lambda: batches)
for recipe in ladder.recipes("cpu", names):
    ladder.build(recipe, shop, Path(folder) / f"{recipe.name}.onnx")
"""


def test_the_same_bytes_again(small, tmp_path, monkeypatch, start_python):
    """In another process, which orders sets differently."""
    shop = dataclasses.replace(small("bert").workshop, folder=tmp_path / "one")
    texts = list(enumerate(shop.batches()))
    np.savez(tmp_path / "texts.npz", **{f"{i} {name}": ids for i, text in texts for name, ids in text.items()})
    shop.config.save_pretrained(tmp_path / "checkpoint")
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    paths = (shop.raw, tmp_path / "checkpoint", tmp_path / "texts.npz", tmp_path / "two")
    process = start_python(BUILD_ALL, *paths, *DEFAULT, *OPTIONAL, options=())
    for recipe in ladder.recipes("cpu", DEFAULT + OPTIONAL):
        ladder.build(recipe, shop, tmp_path / "one" / f"{recipe.name}.onnx")
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 0, said
    for name in DEFAULT + OPTIONAL:
        one, two = (hashlib.sha256((tmp_path / n / f"{name}.onnx").read_bytes()).hexdigest() for n in ("one", "two"))
        assert one == two, name


def test_graphs_are_built_when_asked_for_and_once(small, tmp_path):
    shop = dataclasses.replace(small("bert").workshop, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []
    first = shop.small
    written = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert {path.name for path in written} == {"open.onnx", "small.onnx"}
    assert shop.small == first and shop.open == tmp_path / "open.onnx"
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == written
