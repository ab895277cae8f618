import numpy as np
import pytest
from onnx import TensorProto
from onnx_graphs import answer, matrices, node, operators, write

from luxe_export.ladder import fusion

RANDOM = np.random.default_rng(20)
EXACT = 1e-5


@pytest.mark.parametrize(
    ("architecture", "for_int8"),
    [(name, for_int8) for name in ("bert", "distilbert", "albert") for for_int8 in (False, True)]
    + [("deberta-v3", True)],
)
def test_fused_is_the_same_model(small, architecture, for_int8):
    model = small(architecture)
    shop = model.workshop
    path = shop.open if for_int8 else shop.fused
    exact = model.answers(shop.raw)
    for size in (1, len(model.rows)):
        assert np.abs(model.answers(path, size=size) - exact).max() < EXACT * np.abs(exact).max()
    found = operators(path)
    assert len(found) < len(operators(shop.raw))
    assert "SkipLayerNormalization" not in found
    assert found.count("LayerNormalization") + found.count("EmbedLayerNormalization") >= 5


@pytest.mark.parametrize("architecture", ["bert", "distilbert", "albert"])
def test_for_int8_projections_and_tables_are_open(small, architecture):
    shop = small(architecture).workshop
    assert "Attention" in operators(shop.fused)
    assert "Attention" not in operators(shop.open) and "MultiHeadAttention" in operators(shop.open)
    assert len(matrices(shop.open)) >= 12 > len(matrices(shop.fused))
    assert "Gather" in operators(shop.open) and "EmbedLayerNormalization" not in operators(shop.open)


def skipping(folder, *, inputs=("x", "skip", "gamma", "beta", "bias"), outputs=("y",), **attributes):
    """A graph of one SkipLayerNormalization, and what it is given."""
    width = 16
    weights = {name: RANDOM.normal(size=width).astype(np.float32) for name in ("gamma", "beta", "bias")}
    fused = node("SkipLayerNormalization", inputs, list(outputs), **attributes)
    wires = [("x", TensorProto.FLOAT), ("skip", TensorProto.FLOAT)]
    path = write(folder / "model.onnx", [fused], weights, inputs=wires, outputs=[name for name in outputs if name])
    return path, {name: RANDOM.normal(size=(2, 3, width)).astype(np.float32) for name in ("x", "skip")}


@pytest.mark.parametrize(
    "inputs",
    [
        ("x", "skip", "gamma"),
        ("x", "skip", "gamma", "beta"),
        ("x", "skip", "gamma", "beta", "bias"),
        ("x", "skip", "gamma", "", "bias"),
    ],
    ids=lambda inputs: str(len(inputs)) + ("" if all(inputs) else "-without-beta"),
)
@pytest.mark.parametrize("epsilon", [None, 0.5])
def test_the_addition_is_taken_out(tmp_path, inputs, epsilon):
    path, feed = skipping(tmp_path, inputs=inputs, **({} if epsilon is None else {"epsilon": epsilon}))
    before = answer(path, **feed)["y"]
    fusion._split_skip_layer_norm(path, path)
    assert operators(path) == ["Sum", "LayerNormalization"]
    assert np.abs(answer(path, **feed)["y"] - before).max() < 1e-5


def test_the_epsilon_of_a_silent_row(tmp_path):
    """Without one given it is 1e-12, and LayerNormalization's own would be 1e-5."""
    path, feed = skipping(tmp_path, inputs=("x", "skip", "gamma", "beta"))
    feed = {name: value * np.float32(1e-5) for name, value in feed.items()}
    before = answer(path, **feed)["y"]
    fusion._split_skip_layer_norm(path, path)
    assert np.abs(answer(path, **feed)["y"] - before).max() < 1e-3 < np.abs(before).max()


def test_a_sum_that_others_read_stays_fused(tmp_path):
    path, feed = skipping(tmp_path, outputs=("y", "", "", "sum"))
    before = answer(path, **feed)
    fusion._split_skip_layer_norm(path, path)
    assert operators(path) == ["SkipLayerNormalization"]
    after = answer(path, **feed)
    assert (after["y"] == before["y"]).all() and (after["sum"] == before["sum"]).all()


@pytest.mark.parametrize("for_int8", [False, True])
def test_the_same_bytes_again(small, tmp_path, for_int8):
    shop = small("bert").workshop
    fusion.fuse(shop.raw, tmp_path / "again.onnx", shop.config, for_int8=for_int8)
    assert (tmp_path / "again.onnx").read_bytes() == (shop.open if for_int8 else shop.fused).read_bytes()
