"""Graphs whose weights and activations are whole numbers that 8 bits hold: int8 must give what float gives.

So a bias that is added twice or never, a scale of the wrong side or a zero point that is off by one is seen at once.
"""

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx_graphs import answer, constants, matrices, node, operators, write

from luxe_export.ladder import int8
from luxe_export.ladder.weights import cpu_family

INNER, OUTER = 8, 6
STEP = np.float32(2**-6)
BIAS = (1000 * np.arange(1, OUTER + 1)).astype(np.float32)
RANDOM = np.random.default_rng(20)


def whole(columns=OUTER, *, seed=20):
    """A matrix [INNER, columns] of multiples of STEP: loud channels all alike, and no pair that saturates."""
    levels = np.random.default_rng(seed).integers(-60, 61, (INNER, columns))
    for row in range(INNER):
        levels[row, row % columns] = 127 if row < columns else -127
        levels[row ^ 1, row % columns] = 0
    levels[-2:, :2] = [[0, 127], [-127, 0]]
    assert (np.abs(levels).max(axis=0) == 127).all() and (np.abs(levels).max(axis=1) == 127).all()
    assert np.abs(levels[0::2] + levels[1::2]).max() <= 127
    return (levels * STEP).astype(np.float32)


# What each scheme holds exactly, [3, 5, INNER]: whole numbers up to the largest of the row, or of all rows.
def two_sided():
    values = RANDOM.integers(-127, 128, (3, 5, INNER))
    values[..., 3] = np.where(values[..., 3] < 0, -127, 127)
    return values.astype(np.float32)


def every_level():
    values = RANDOM.integers(-127, 129, (3, 5, INNER))
    values[0, 0], values[0, 1] = -127, 128
    return values.astype(np.float32)


def one_sided(offset):
    values = RANDOM.integers(0, 256, (3, 5, INNER))
    values[..., 2] = 255
    values[0, 0, 0] = 0
    return (values - offset).astype(np.float32)


WAYS = {
    "per-token": ("per-token", two_sided()),
    "static": ("static", every_level()),
    "mixed-relu": ("mixed", one_sided(0)),
    "mixed-gelu": ("mixed", one_sided(32)),
}


@pytest.fixture(params=WAYS)
def way(request):
    return WAYS[request.param]


def same(source, way):
    """Quantise, see that all products are replaced and that nothing changes, and return the target."""
    scheme, x = way
    target = source.with_name("int8.onnx")
    int8.quantize(source, target, scheme=scheme, cpu=cpu_family(), batches=lambda: ({"x": row[None]} for row in x))
    assert matrices(target) == []
    before, after = answer(source, x=x), answer(target, x=x)
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert after[name].shape == value.shape
        assert np.abs(after[name] - value).max() <= 2e-6 * np.abs(value).max()
    return target


def graph(folder, nodes, *, outputs=("y",), **weights):
    return write(folder / "float.onnx", nodes, {"w": whole(), "bias": BIAS, **weights}, outputs=outputs)


def test_a_product_alone_is_the_graphs_output(tmp_path, way):
    same(graph(tmp_path, [node("MatMul", ["x", "w"], "y")]), way)


def test_a_product_with_a_bias_is_the_graphs_output_too(tmp_path, way):
    nodes = [node("MatMul", ["x", "w"], "z"), node("Add", ["z", "bias"], "y")]
    same(graph(tmp_path, nodes, outputs=("y", "z")), way)


@pytest.mark.parametrize("order", [["z", "bias"], ["bias", "z"]])
def test_a_bias_is_added_once(tmp_path, way, order):
    same(graph(tmp_path, [node("MatMul", ["x", "w"], "z"), node("Add", order, "y")]), way)


def test_a_bias_in_gelu_is_added_once(tmp_path, way):
    nodes = [node("MatMul", ["x", "w"], "z"), node("BiasGelu", ["z", "bias"], "y")]
    target = same(graph(tmp_path, nodes), way)
    assert ("BiasGelu" in operators(target)) == (way[0] == "per-token")


def test_a_bias_beside_a_residual_is_added_once(tmp_path, way):
    nodes = [node("MatMul", ["x", "w"], "z"), node("Sum", ["z", "x", "bias"], "y")]
    square = {"w": whole(INNER), "bias": np.resize(BIAS, INNER)}
    same(write(tmp_path / "float.onnx", nodes, square), way)


def test_a_bias_of_two_products_is_added_once(tmp_path, way):
    nodes = [
        node("MatMul", ["x", "w"], "z"),
        node("MatMul", ["x", "v"], "u"),
        node("Sum", ["z", "u", "bias"], "y"),
    ]
    same(graph(tmp_path, nodes, v=whole(seed=21)), way)


def test_two_biases(tmp_path, way):
    nodes = [node("MatMul", ["x", "w"], "z"), node("Sum", ["z", "bias", "more"], "y")]
    same(graph(tmp_path, nodes, more=-3 * BIAS), way)


def test_an_addition_of_two_constants(tmp_path, way):
    nodes = [
        node("Add", ["bias", "more"], "both"),
        node("MatMul", ["x", "w"], "z"),
        node("Add", ["z", "both"], "y"),
    ]
    same(graph(tmp_path, nodes, more=-3 * BIAS), way)


def test_a_bias_that_others_read(tmp_path, way):
    nodes = [
        node("MatMul", ["x", "w"], "z"),
        node("Add", ["z", "bias"], "y"),
        node("MatMul", ["x", "v"], "u"),
        node("Add", ["u", "bias"], "t"),
        node("Mul", ["y", "bias"], "s"),
    ]
    same(graph(tmp_path, nodes, outputs=("y", "t", "s"), v=whole(seed=21)), way)


def test_a_product_that_others_read_keeps_its_addition(tmp_path, way):
    nodes = [node("MatMul", ["x", "w"], "z"), node("Add", ["z", "bias"], "y"), node("Neg", ["z"], "t")]
    same(graph(tmp_path, nodes, outputs=("y", "t")), way)


def test_a_product_that_a_branch_reads_keeps_its_addition(tmp_path, way):
    """DeBERTa has branches; what they read stands in no list of inputs."""
    branch = helper.make_graph(
        [helper.make_node("Add", ["z", "only_there"], ["b"])],
        "branch",
        [],
        [helper.make_tensor_value_info("b", TensorProto.FLOAT, None)],
    )
    nodes = [
        node("MatMul", ["x", "w"], "z"),
        node("Add", ["z", "bias"], "y"),
        node("If", ["always"], "t", then_branch=branch, else_branch=branch),
    ]
    same(graph(tmp_path, nodes, outputs=("y", "t"), always=np.array(True), only_there=-5 * BIAS), way)


@pytest.mark.parametrize("shape", [(1,), (), (1, OUTER), (5, 1)])
def test_what_is_added_is_no_bias(tmp_path, way, shape):
    """It is stretched to the product's shape, which the fused operator does not do."""
    nodes = [node("MatMul", ["x", "w"], "z"), node("Add", ["z", "bias"], "y")]
    same(graph(tmp_path, nodes, bias=np.full(shape, 512, np.float32)), way)


def test_a_product_is_stretched_to_its_bias(tmp_path, way):
    nodes = [node("MatMul", ["x", "w"], "z"), node("Add", ["z", "bias"], "y")]
    column = (np.where(np.arange(INNER) % 2, 0, 127)[:, None] * STEP).astype(np.float32)
    if way[0] == "static":
        column = np.where(column, column, -STEP * 127).astype(np.float32)  # all channels alike
    same(graph(tmp_path, nodes, w=column), way)


def test_products_of_one_input_share_its_levels(tmp_path, way):
    nodes = [node("MatMul", ["x", "w"], "y"), node("MatMul", ["x", "v"], "t")]
    target = same(graph(tmp_path, nodes, outputs=("y", "t"), v=whole(seed=21)), way)
    assert operators(target).count("QuantizeLinear") == 1


def test_a_matrix_of_several_products_is_there_once(tmp_path, way):
    nodes = [node("Neg", ["x"], "n"), node("Neg", ["n"], "m")]
    nodes += [node("MatMul", ["x", "w"], "y"), node("MatMul", ["m", "w"], "t")]
    target = same(graph(tmp_path, nodes, outputs=("y", "t")), way)
    assert [value.ndim for value in constants(target).values() if value.dtype == np.int8].count(2) == 1


def test_rows_of_zeros_give_the_bias(tmp_path, way):
    x = way[1]
    source = graph(tmp_path, [node("MatMul", ["x", "w"], "z"), node("Add", ["z", "bias"], "y")])
    target = same(source, way)
    zeros = np.zeros((1, 5, INNER), np.float32)
    for beside in (zeros, np.concatenate([x, zeros])):
        assert np.abs(answer(target, x=beside)["y"][-1] - BIAS).max() < 1e-3
    assert np.isfinite(answer(target, x=zeros + np.float32(1e-30))["y"]).all()


def test_channels_that_texts_leave_silent(tmp_path, way):
    """Zeros in calibration and zeros in a matrix: no division by them."""
    scheme, x = way
    silent = np.zeros_like(x)
    source = graph(tmp_path, [node("MatMul", ["x", "w"], "y")], w=np.zeros((INNER, OUTER), np.float32))
    target = tmp_path / "int8.onnx"
    int8.quantize(source, target, scheme=scheme, cpu=cpu_family(), batches=lambda: [{"x": silent}])
    assert (answer(target, x=x)["y"] == 0).all()


def test_loud_channels_move_into_the_weights(tmp_path):
    """SmoothQuant: one channel a hundred times as loud as the others would leave them two levels each."""
    x = RANDOM.normal(size=(4, 32, INNER)).astype(np.float32)
    x[..., 5] *= 100
    matrix = RANDOM.normal(size=(INNER, OUTER)).astype(np.float32)
    matrix[5] /= 100
    source = graph(tmp_path, [node("MatMul", ["x", "w"], "y")], w=matrix)
    target = tmp_path / "int8.onnx"
    int8.quantize(source, target, scheme="static", cpu=cpu_family(), batches=lambda: [{"x": x}])
    exact = answer(source, x=x)["y"]
    assert np.sqrt(np.square(answer(target, x=x)["y"] - exact).mean()) < 0.03 * exact.std()


def test_inputs_of_one_matrix_share_what_moves_into_it(tmp_path):
    """As ALBERT's layers: each alone would move other channels, and there is one int8 matrix."""
    x = RANDOM.normal(size=(4, 32, INNER)).astype(np.float32)
    loudness = (4.0 ** np.linspace(-1, 1, INNER)).astype(np.float32)
    nodes = [node("Mul", ["x", "loudness"], "n"), node("MatMul", ["x", "w"], "y"), node("MatMul", ["n", "w"], "t")]
    matrix = RANDOM.normal(size=(INNER, OUTER)).astype(np.float32)
    source = graph(tmp_path, nodes, outputs=("y", "t"), w=matrix, loudness=loudness)
    target = tmp_path / "int8.onnx"
    int8.quantize(source, target, scheme="static", cpu=cpu_family(), batches=lambda: [{"x": x}])
    exact, close = answer(source, x=x), answer(target, x=x)
    for name in ("y", "t"):
        assert np.sqrt(np.square(close[name] - exact[name]).mean()) < 0.03 * exact[name].std()


def test_nothing_to_quantise(tmp_path, way):
    """All is kept, or there is no product at all."""
    source = graph(tmp_path, [node("MatMul", ["x", "w"], "y")])
    target = tmp_path / "int8.onnx"
    int8.quantize(source, target, scheme=way[0], cpu="avx2", batches=lambda: [{"x": way[1]}], keep=["x"])
    assert matrices(target) == [("x", "w")]
    same(graph(tmp_path, [node("Neg", ["x"], "y")]), way)
