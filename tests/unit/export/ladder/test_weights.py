import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnx import TensorProto
from onnx_graphs import answer, node, write

from luxe_export.ladder import weights
from luxe_export.ladder.weights import cpu_family, quantize_weights

FAMILIES = ("vnni", "avx2", "arm")
# Columns of equal values are the worst case, and floats that are all different never make them.
_ELEMENTS = (
    st.floats(-1000, 1000, width=32),
    st.floats(-(2.0**-40), 2.0**-40, width=32),
    st.sampled_from([0.0, 1.0, -1.0, 0.5, 0.984375]),
)
_SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 4))
MATRICES = st.one_of(*(arrays.arrays(np.float32, _SHAPES, elements=elements) for elements in _ELEMENTS))


@pytest.mark.parametrize("cpu", FAMILIES)
@given(matrix=MATRICES)
@settings(max_examples=100, deadline=None)
def test_no_weight_is_off_by_more_than_half_a_step(cpu, matrix):
    levels, scale = quantize_weights(matrix, cpu)
    assert levels.dtype == np.int8 and scale.dtype == np.float32
    assert levels.shape == matrix.shape and scale.shape == matrix.shape[1:]
    assert levels.min() >= -127  # symmetric: -128 has no counterpart
    assert (scale > 0).all()
    error = np.abs(levels.astype(np.float64) * scale - matrix)
    assert (error <= 0.5 * scale * (1 + 1e-5)).all()


@pytest.mark.parametrize("cpu", FAMILIES)
@given(matrix=MATRICES)
@settings(max_examples=40, deadline=None)
def test_a_matrix_of_the_other_sign_is_the_same(cpu, matrix):
    levels, scale = quantize_weights(matrix, cpu)
    negative, same = quantize_weights(-matrix, cpu)
    assert (negative == -levels).all() and (same == scale).all()


@given(matrix=MATRICES)
@settings(max_examples=200, deadline=None)
def test_no_two_neighbours_leave_int16(matrix):
    levels, _ = quantize_weights(matrix, "avx2")
    padded = np.pad(levels.astype(np.int64), ((0, len(levels) % 2), (0, 0)))
    first, second = padded[0::2], padded[1::2]
    # The extremes of a1 w1 + a2 w2 with both activations in 0..255 are at the corners.
    for pair in (first, second, first + second):
        assert (255 * pair <= 32767).all() and (255 * pair >= -32768).all()


def test_whole_columns_of_zeros_stay():
    levels, scale = quantize_weights(np.zeros((5, 3), np.float32), "avx2")
    assert not levels.any() and np.isfinite(scale).all()


@pytest.mark.parametrize("cpu", ["vnni", "arm"])
def test_exact_cpus_use_all_of_8_bits(cpu):
    levels, scale = quantize_weights(np.ones((4, 1), np.float32), cpu)
    assert levels.tolist() == [[127]] * 4 and scale == pytest.approx(1 / 127)


def test_avx2_gives_up_only_what_neighbours_need():
    """One loud weight keeps 8 bits; of two loud neighbours, each keeps 7; those apart by one are none."""
    column = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [1, -1, 0, 0]], np.float32).T
    largest = np.abs(quantize_weights(column, "avx2")[0]).max(axis=0)
    assert largest.tolist() == [127, 64, 127, 127]


def product(folder, activations, levels):
    """uint8 · int8, on this machine, as ONNX Runtime multiplies."""
    path = write(
        folder / "product.onnx",
        [node("MatMulInteger", ["x", "w"], "z"), node("Cast", ["z"], "y", to=TensorProto.FLOAT)],
        {"w": levels},
        inputs=[("x", TensorProto.UINT8)],
    )
    return answer(path, x=activations)["y"]


@pytest.mark.parametrize("inner", [2, 7, 64, 385])
@pytest.mark.parametrize("sign", [1, -1])
def test_onnx_runtime_multiplies_exactly_here(tmp_path, inner, sign):
    """The loudest activations with the worst weights: what rounding for this CPU is for."""
    matrix = np.full((inner, 24), sign, np.float32)
    matrix[:, 8:] = np.random.default_rng(20).normal(size=(inner, 16)) + sign
    levels, _ = quantize_weights(matrix, cpu_family())
    for rows in (1, 2, 5, 16):  # kernels differ by the number of rows
        activations = np.full((rows, inner), 255, np.uint8)
        exact = activations.astype(np.int64) @ levels.astype(np.int64)
        assert (product(tmp_path, activations, levels) == exact).all()


def test_all_of_8_bits_is_wrong_where_products_saturate(tmp_path):
    """The test above can fail."""
    levels, _ = quantize_weights(np.ones((64, 24), np.float32), "vnni")
    activations = np.full((5, 64), 255, np.uint8)
    exact = activations.astype(np.int64) @ levels.astype(np.int64)
    assert (product(tmp_path, activations, levels) == exact).all() == (cpu_family() != "avx2")


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("flags\t\t: fpu avx2 avx512f avx512_vnni\n", "vnni"),
        ("flags\t\t: fpu avx2 avx_vnni\n", "vnni"),
        ("flags\t\t: fpu avx2 avx512f avx512bw\n", "avx2"),
        ("Features\t: fp asimd evtstrm asimddp\n", "arm"),
        ("", "avx2"),
        (None, "avx2"),
    ],
)
def test_the_cpu_is_read_from_the_kernel(tmp_path, monkeypatch, text, family):
    """What is not known is the family that is right everywhere."""
    info = tmp_path / "cpuinfo"
    if text is not None:
        info.write_text(text, encoding="utf-8")
    asked = []
    monkeypatch.setattr(weights, "Path", lambda path: asked.append(path) or info)
    assert cpu_family() == family and asked == ["/proc/cpuinfo"]
