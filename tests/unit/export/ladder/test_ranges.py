import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_graphs import node, write

from luxe_export.ladder import ranges

RANDOM = np.random.default_rng(20)
METHODS = ("minmax", "percentile", "entropy")


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    """``a`` is x, ``b`` is -x with its last axis halved: [N, T, 4] and [N, T, 2]."""
    nodes = [node("Identity", ["x"], "a"), node("MatMul", ["a", "w"], "b"), node("ReduceSum", ["b"], "y")]
    weights = {"w": -np.eye(4, 2, dtype=np.float32)}
    return write(tmp_path_factory.mktemp("ranges") / "model.onnx", nodes, weights)


def texts(count=12):
    return [RANDOM.normal(size=(1, length, 4)).astype(np.float32) for length in RANDOM.integers(1, 20, count)]


def test_channels_are_those_of_all_texts(graph):
    made = texts()
    found = ranges.channels(graph, ["b", "a"], lambda: ({"x": text} for text in made))
    every = np.concatenate([text[0] for text in made])
    assert (found["a"] == [every.min(axis=0), every.max(axis=0)]).all()
    assert (found["b"] == [(-every[:, :2]).min(axis=0), (-every[:, :2]).max(axis=0)]).all()
    assert found["a"].dtype == np.float32


def test_nothing_to_look_at(graph):
    def never():
        raise AssertionError("nobody asks for a text")

    assert ranges.channels(graph, [], never) == {}
    assert ranges.clip(graph, {}, never, "entropy") == {}


@pytest.mark.parametrize("look", ["channels", "clip"])
def test_texts_are_streamed(graph, look):
    """While one is made, at most the one before it is still there."""
    alive, most = set(), []

    def batches():
        for _ in range(30):
            text = np.zeros((1, 5, 4), np.float32)
            weakref.finalize(text, alive.discard, id(text))
            alive.add(id(text))
            most.append(len(alive))
            yield {"x": text}
            del text

    if look == "channels":
        ranges.channels(graph, ["a"], batches)
    else:
        ranges.clip(graph, {"a": (np.ones(4, np.float32), -1.0, 1.0)}, batches, "percentile")
    assert len(most) == 30 and max(most) <= 2


def test_nothing_is_left_behind(graph):
    def broken():
        yield {"x": np.zeros((1, 1, 4), np.float32)}
        raise RuntimeError("no more texts")

    ranges.channels(graph, ["a"], lambda: [{"x": text} for text in texts()])
    with pytest.raises(RuntimeError, match="no more texts"):
        ranges.channels(graph, ["a"], broken)
    assert [path.name for path in graph.parent.iterdir()] == ["model.onnx"]


def clip(graph, values, method):
    """The range of ``values`` as a whole, one channel beside three silent ones of the same values."""
    x = np.resize(np.asarray(values, np.float32), (-(-len(values) // 4), 4))[None]
    low, high = min(0.0, float(x.min())), max(1e-10, float(x.max()))
    batches = lambda: ({"x": part} for part in np.array_split(x, 3, axis=1) if part.size)  # noqa: E731
    return ranges.clip(graph, {"a": (np.ones(4, np.float32), low, high)}, batches, method)["a"]


@pytest.mark.parametrize("method", METHODS)
def test_an_even_distribution_keeps_its_range(graph, method):
    low, high = clip(graph, np.linspace(-2, 5, 200_000), method)
    assert low == pytest.approx(-2, abs=0.01) and high == pytest.approx(5, abs=0.01)


def test_percentile_cuts_one_value_in_a_million(graph):
    values = RANDOM.normal(size=1_000_000)
    values[77] = 400
    assert clip(graph, values, "minmax")[1] == 400
    low, high = clip(graph, values, "percentile")
    assert 4 < high < 6 and -6 < low < -4  # one of the histogram's bins is 0.2 wide
    values[:50] = 400  # one in 20,000 is no longer the rarest 0.001 %
    assert clip(graph, values, "percentile")[1] == 400


def test_percentile_cuts_both_ends(graph):
    values = RANDOM.normal(size=1_000_000)
    values[77] = -400
    low, high = clip(graph, values, "percentile")
    assert -6 < low < -4 and 4 < high < 6


def test_entropy_cuts_a_long_tail(graph):
    values = np.abs(RANDOM.normal(size=200_000))
    values[::10_000] = 200
    low, high = clip(graph, values, "entropy")
    assert low == 0 and 3 < high < 50
    values = RANDOM.standard_t(3, size=200_000)
    low, high = clip(graph, values, "entropy")
    assert 5 < -low < -0.6 * values.min() and 5 < high < 0.6 * values.max()


def test_entropy_keeps_an_end_with_many_values(graph):
    values = np.concatenate([RANDOM.uniform(0, 1, 100_000), RANDOM.uniform(99, 100, 80_000)])
    assert clip(graph, values, "entropy")[1] == pytest.approx(100, abs=0.1)
    assert clip(graph, -values, "entropy")[0] == pytest.approx(-100, abs=0.1)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_range_holds_zero(graph, method, sign):
    """Levels count from a zero point within 0..255; without zero in the range all that is cut off is added to all."""
    low, high = clip(graph, sign * RANDOM.uniform(5, 10, 10_000), method)
    assert low <= 0 <= high
    assert max(-low, high) == pytest.approx(10, abs=0.1)


def test_the_divisor_is_taken_into_account(graph):
    x = np.array([[[10.0, 0.2, -30.0, 0.0]]], np.float32)
    divisor = np.array([10, 0.1, 30, 1], np.float32)
    found = ranges.clip(graph, {"a": (divisor, -1.0, 2.0)}, lambda: [{"x": x}], "percentile")
    assert found["a"] == pytest.approx((-1.0, 2.0))


@pytest.mark.parametrize("method", METHODS)
@given(
    values=st.lists(st.one_of(st.floats(-1000, 1000, width=32), st.sampled_from([0.0, 1.0, -1.0])), min_size=1),
    copies=st.sampled_from([1, 40_000]),
)
@settings(max_examples=40, deadline=None)
def test_a_range_is_never_empty_nor_wider(graph, method, values, copies):
    low, high = clip(graph, values[:1] * copies + values, method)
    assert np.isfinite([low, high]).all()
    assert low <= 0 <= high and low < high
    slack = 1e-6 * max(1.0, *map(abs, values))
    assert low >= min(0.0, *values) - slack and high <= max(1e-10, *values) + slack
