"""int8 on real small models: what it is near to, and what an answer may not depend on."""

import hashlib

import numpy as np
import onnx
import pytest
from architectures import MAX_LENGTH
from onnx_graphs import constants, matrices, operators

from luxe_export.ladder import int8

SCHEMES = ("per-token", "static", "mixed")
ARCHITECTURES = ("bert", "albert", "distilbert", "deberta-v3")
NEAR = 0.1
"""Root mean square of what is lost, in standard deviations of the logits. Here 0.03 to 0.08; products that saturate
lose 0.16 to 0.5."""


@pytest.fixture(scope="module")
def quantized(small, tmp_path_factory):
    """The int8 form of a small model, made when first asked for."""
    made = {}

    def get(architecture, scheme):
        if (architecture, scheme) not in made:
            target = tmp_path_factory.mktemp("int8") / "model.onnx"
            quantize(small(architecture), target, scheme)
            made[architecture, scheme] = target
        return made[architecture, scheme]

    return get


def quantize(model, target, scheme, **given):
    shop = model.workshop
    int8.quantize(shop.open, target, scheme=scheme, cpu=shop.cpu, batches=shop.batches, **given)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_near_fp32_and_nobody_has_neighbours(small, quantized, architecture, scheme):
    model, path = small(architecture), quantized(architecture, scheme)
    exact, alone = model.answers(model.workshop.open), model.answers(path)
    assert 1e-4 < np.sqrt(np.square(alone - exact).mean()) < NEAR * exact.std()
    assert (alone.argmax(axis=1) == exact.argmax(axis=1)).all()
    assert len({len(row["input_ids"]) for row in model.rows}) > 5
    for size in (5, len(model.rows)):
        assert np.abs(model.answers(path, size=size) - alone).max() < 1e-5
    assert np.abs(model.answers(path, length=MAX_LENGTH) - alone).max() < 1e-5


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_product_is_replaced(small, quantized, architecture, scheme):
    opened, path = small(architecture).workshop.open, quantized(architecture, scheme)
    assert len(matrices(opened)) >= 12
    assert matrices(path) == []
    assert operators(path).count("MatMulIntegerToFloat") == len(matrices(opened))
    assert int8.sites(opened) == list(dict.fromkeys(x for x, _ in matrices(opened)))
    assert int8.sites(path) == []
    large = [name for name, value in constants(path).items() if value.dtype == np.float32 and value.size >= 64 * 128]
    assert {name for name in large if "mbeddings" not in name} == set()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_is_kept_stays_in_float(small, tmp_path, scheme):
    model = small("bert")
    every = int8.sites(model.workshop.open)
    kept = [every[0], every[3]]  # of three products, and of one behind a GELU
    quantize(model, tmp_path / "some.onnx", scheme, keep=kept)
    before = matrices(model.workshop.open)
    assert matrices(tmp_path / "some.onnx") == [(x, w) for x, w in before if x in kept]
    assert len(matrices(tmp_path / "some.onnx")) == 4
    quantize(model, tmp_path / "all.onnx", scheme, keep=every)
    assert np.abs(model.answers(tmp_path / "all.onnx") - model.answers(model.workshop.open)).max() < 1e-6


def activations(path):
    """The kind of activation that each quantised input comes out of, by name."""
    made = {output: n.op_type for n in onnx.load(str(path)).graph.node for output in n.output}
    return {x: made[x] for x in int8.sites(path)}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_one_sided_is_behind_an_activation_and_nowhere_else(small, quantized, architecture):
    opened = small(architecture).workshop.open
    one_sided = {n.input[0] for n in onnx.load(str(quantized(architecture, "mixed"))).graph.node if n.op_type == "Add"}
    one_sided &= {name.removesuffix("/offset") for name in constants(quantized(architecture, "mixed"))}
    behind = {x for x, kind in activations(opened).items() if kind in ("BiasGelu", "FastGelu", "Gelu")}
    assert len(behind) == 2
    assert one_sided == behind


def test_albert_shares_its_layers(small, quantized):
    """Two layers with the same matrices: one int8 form of each, and a file that is smaller for it."""
    opened = small("albert").workshop.open
    names = {w for _, w in matrices(opened)}
    assert len(names) == 7 < len(matrices(opened))
    for scheme in SCHEMES:
        path = quantized("albert", scheme)
        small_ones = {name for name, value in constants(path).items() if value.dtype == np.int8 and value.ndim == 2}
        assert small_ones == {f"{name}/int8" for name in names}
        saved = 3 * sum(constants(opened)[name].size for name in names)
        assert path.stat().st_size < opened.stat().st_size - 0.7 * saved  # the new nodes take some


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("architecture", ["bert", "albert"])
def test_the_same_bytes_again(small, quantized, tmp_path, architecture, scheme):
    quantize(small(architecture), tmp_path / "again.onnx", scheme)
    first, again = (p.read_bytes() for p in (quantized(architecture, scheme), tmp_path / "again.onnx"))
    assert hashlib.sha256(again).hexdigest() == hashlib.sha256(first).hexdigest()


@pytest.mark.parametrize("scheme", ["static", "mixed"])
def test_static_ranges_need_texts(small, tmp_path, scheme):
    with pytest.raises(ValueError, match="calibration"):
        int8.quantize(small("bert").workshop.open, tmp_path / "x.onnx", scheme=scheme, cpu="avx2")
    assert not (tmp_path / "x.onnx").exists()
