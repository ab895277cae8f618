import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from luxe_export import memory
from luxe_export.gate import latency
from luxe_export.gate.reference import Meaning, Reference

MEGABYTE = 1_000_000


@pytest.fixture
def of_lengths():
    """A reference of rows of so many tokens, and nothing to answer."""

    def of_lengths(*lengths):
        tokens = [{"input_ids": [1] * n, "attention_mask": [1] * n} for n in lengths]
        meaning = Meaning("text-classification", "single_label_classification", "identity")
        return Reference(None, tokens, [], meaning, max_length=64, padding_id=0)

    return of_lengths


@pytest.fixture
def graph(tmp_path):
    """An ONNX file that looks up embeddings of 64 numbers and multiplies them, so many times, by a matrix."""

    def graph(name, products=1, vocabulary=100):
        ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["n", "t"])
        out = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", "t", 64])
        table = np.ones((vocabulary, 64), dtype=np.float32)
        constants = [numpy_helper.from_array(table, "table")]
        constants.append(numpy_helper.from_array(np.eye(64, dtype=np.float32) / 2, "matrix"))
        nodes = [helper.make_node("Gather", ["table", "input_ids"], ["x0"])]
        nodes += [helper.make_node("MatMul", [f"x{i}", "matrix"], [f"x{i + 1}"]) for i in range(products)]
        nodes.append(helper.make_node("Identity", [f"x{products}"], ["logits"]))
        model = helper.make_model(
            helper.make_graph(nodes, name, [ids], [out], constants),
            opset_imports=[helper.make_opsetid("", 18)],
            ir_version=10,
        )
        path = tmp_path / f"{name}.onnx"
        onnx.save(model, str(path))
        return path

    return graph


def test_short_and_typical_are_lengths_that_occur(of_lengths):
    assert latency.lengths(of_lengths(*range(10, 30))) == (11, 19)
    assert latency.lengths(of_lengths(5, 40)) == (5, 5)
    assert latency.lengths(of_lengths(7)) == (7, 7)


def test_a_slower_candidate_is_seen_to_be(of_lengths, graph):
    steps = []
    paths = {"fp32": graph("fp32", products=60), "fast": graph("fast", products=2)}
    reference = of_lengths(*range(4, 44))
    times = latency.latency(paths, reference, threads=1, micro_batch=8, advance=lambda: steps.append(None))
    assert len(steps) == latency.STEPS
    assert list(times) == ["fp32", "fast"]
    assert [(s.batch, s.tokens) for s in times["fast"].shapes] == [(1, 7), (8, 23), (32, 23)]
    assert times["fp32"].ratio == 1
    assert times["fast"].ratio < 0.7
    assert times["fast"].shapes[2].ratio < 0.7
    assert 0 < times["fast"].ms_per_text < times["fp32"].ms_per_text


def test_without_fp32_there_is_no_ratio(of_lengths, graph):
    times = latency.latency({"a": graph("a")}, of_lengths(4, 5), threads=1, micro_batch=8, advance=lambda: None)
    assert times["a"].ratio is None
    assert {s.ratio for s in times["a"].shapes} == {None}


def test_nothing_to_time(of_lengths):
    assert latency.latency({}, of_lengths(4), threads=1, micro_batch=8, advance=lambda: None) == {}


def test_a_large_model_is_not_repeated_for_ever(of_lengths, graph, monkeypatch):
    ran = []

    class Slow:
        def __init__(self, *args, **options):
            pass

        def get_inputs(self):
            return []

        def run(self, names, inputs):
            ran.append(None)

    clock = iter(range(10**6))  # a call of the clock takes a second
    monkeypatch.setattr(latency, "session", Slow)
    monkeypatch.setattr(latency.time, "perf_counter", lambda: float(next(clock)))
    latency.latency({"a": graph("a")}, of_lengths(4), threads=1, micro_batch=8, advance=lambda: None)
    assert len(ran) == latency.STEPS * (1 + 3)  # warm, and the least number of rounds


def test_memory_is_what_the_session_adds(graph):
    small = memory.peak_bytes(graph("small"), 32, 16)
    large = memory.peak_bytes(graph("large", vocabulary=400_000), 32, 16)  # 102 MB
    assert 0 < small < 60 * MEGABYTE
    assert 90 * MEGABYTE < large - small < 450 * MEGABYTE


def test_a_file_that_does_not_load_is_said_in_one_line(tmp_path):
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"no graph")
    with pytest.raises(RuntimeError, match="memory was not measured: ") as error:
        memory.peak_bytes(path, 1, 1)
    assert "\n" not in str(error.value)


def test_the_working_point_is_of_micro_batches_of_like_length(of_lengths):
    lengths = [5 + (7 * i) % 100 for i in range(100)]  # each once, in no order
    works = latency._working_point(of_lengths(*lengths), 8)
    assert [sorted(lengths[row] for row in rows) for rows in works] == [
        list(range(first, first + 8)) for first in (13, 38, 63, 88)
    ]
    assert [len(rows) for rows in latency._working_point(of_lengths(*lengths), 1)] == [1] * 32
    assert sorted(row for rows in latency._working_point(of_lengths(9, 7, 8), 2) for row in rows) == [0, 1, 2]
