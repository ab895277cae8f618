import numpy as np
import pytest
from onnx import TensorProto
from onnx_graphs import answer, constants, node, operators, write

from luxe_export.ladder import embedding

RANDOM = np.random.default_rng(20)
IDS = np.array([[3, 0, 3, 299], [7, 3, 299, 1]])


def table(rows=300, width=256):
    """Rows of very different loudness, one of them silent."""
    values = RANDOM.normal(size=(rows, width)) * 10.0 ** RANDOM.integers(-4, 4, (rows, 1))
    values[7] = 0
    return values.astype(np.float32)


def graph(folder, weight, *, ids=TensorProto.INT64, outputs=("y",), nodes=(), **attributes):
    nodes = [node("Gather", ["table", "x"], "y", **attributes), *nodes]
    return write(folder / "float.onnx", nodes, {"table": weight}, inputs=[("x", ids)], outputs=outputs)


@pytest.fixture
def target(tmp_path):
    return tmp_path / "small.onnx"


@pytest.mark.parametrize("ids", [IDS, IDS[0], np.array(299)], ids=["2d", "1d", "one"])
def test_rows_are_within_half_a_step(tmp_path, target, ids):
    weight = table()
    source = graph(tmp_path, weight)
    embedding.shrink(source, target)
    rows = answer(target, x=ids)["y"]
    assert rows.shape == answer(source, x=ids)["y"].shape
    step = np.abs(weight[ids]).max(axis=-1, keepdims=True) / 127
    assert (np.abs(rows - weight[ids]) <= 0.5001 * step).all()
    assert (rows != weight[ids]).any()
    assert target.stat().st_size < 0.3 * source.stat().st_size
    assert "table" not in constants(target)


def test_the_same_row_wherever_it_stands(tmp_path, target):
    embedding.shrink(graph(tmp_path, table()), target)
    rows = answer(target, x=IDS)["y"]
    assert (rows[0, 0] == rows[0, 2]).all() and (rows[0, 0] == rows[1, 1]).all()
    assert (rows[0, 3] == answer(target, x=IDS[:1, 3:])["y"][0, 0]).all()
    assert (rows[1, 0] == 0).all()


@pytest.mark.parametrize(
    ("weight", "attributes"),
    [
        (table(rows=300, width=64), {}),
        (RANDOM.integers(0, 9, (300, 256)), {}),
        (table().reshape(300, 16, 16), {}),
        (table().reshape(-1), {}),
        (table(300, 300), {"axis": 1}),
        (table(300, 300), {"axis": -1}),
    ],
    ids=["small", "int64", "3d", "1d", "other axis", "last axis"],
)
def test_what_is_no_large_table_stays(tmp_path, target, weight, attributes):
    nodes = [node("Cast", ["y"], "z", to=TensorProto.FLOAT)]
    source = graph(tmp_path, weight, nodes=nodes, outputs=["z"], **attributes)
    embedding.shrink(source, target)
    assert operators(target) == ["Gather", "Cast"]
    assert (constants(target)["table"] == weight).all() and constants(target)["table"].dtype == weight.dtype


def test_a_table_that_is_computed_stays(tmp_path, target):
    nodes = [node("Neg", ["table"], "computed"), node("Gather", ["computed", "x"], "y")]
    source = write(tmp_path / "float.onnx", nodes, {"table": table()}, inputs=[("x", TensorProto.INT64)])
    embedding.shrink(source, target)
    assert operators(target) == ["Neg", "Gather"]


def test_a_table_with_two_readers_is_there_once(tmp_path, target):
    weight = table()
    nodes = [node("Gather", ["table", "x"], "y"), node("Gather", ["table", "fixed"], "t")]
    weights = {"table": weight, "fixed": np.array([5, 6])}
    source = write(tmp_path / "float.onnx", nodes, weights, inputs=[("x", TensorProto.INT64)], outputs=["y", "t"])
    embedding.shrink(source, target)
    assert sum(value.nbytes for value in constants(target).values() if value.dtype == np.int8) == weight.size
    assert np.abs(answer(target, x=IDS)["t"] - weight[5:7]).max() <= np.abs(weight[5:7]).max() / 253


def test_a_table_that_is_also_multiplied_keeps_its_floats(tmp_path, target):
    """Tied weights: the output layer's matrix is the table, turned."""
    weight = table()
    nodes = [node("Transpose", ["table"], "turned", perm=[1, 0]), node("MatMul", ["y", "turned"], "z")]
    source = graph(tmp_path, weight, nodes=nodes, outputs=["z"])
    embedding.shrink(source, target)
    assert (constants(target)["table"] == weight).all()
    exact, close = (answer(path, x=IDS)["z"] for path in (source, target))
    assert np.abs(close - exact).max() < 0.02 * np.abs(exact).max()


def test_the_same_bytes_again(tmp_path, target):
    source = graph(tmp_path, table())
    embedding.shrink(source, target)
    embedding.shrink(source, tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == target.read_bytes()
