"""fp16 is for GPUs; here ONNX Runtime's CPU provider runs it, with casts around the ops it has no fp16 kernel for.

Where rounding and overflow between two nodes matter, ONNX's own reference runs the graph, node by node.
"""

import numpy as np
import onnx
import onnxruntime
import pytest
from architectures import ARCHITECTURES, initialise
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from luxe_export import graph
from luxe_export.gpu import fp16

# DeBERTa's attention is never fused.
FORMS = [("bert", "exported"), ("bert", "fused"), ("distilbert", "exported"), ("distilbert", "fused")]
FORMS.append(("deberta-v2", "exported"))


@pytest.fixture(scope="module")
def graphs(tmp_path_factory):
    """fp32 graphs of small models, as exported and fused, made when asked for."""
    made = {}

    def get(name):
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            exported, config = export(name, folder)
            made[name] = {"exported": exported, "fused": folder / "fused.onnx"}
            fp16.fuse(exported, folder / "fused.onnx", config)
            for form, path in list(made[name].items()):
                made[name][f"{form} half"] = folder / f"{form}-half.onnx"
                fp16.convert(path, made[name][f"{form} half"])
        return made[name]

    return get


@pytest.fixture(params=FORMS, ids=["-".join(form) for form in FORMS])
def source(request, graphs):
    name, form = request.param
    return graphs(name)[form]


@pytest.fixture
def half(request, source, graphs):
    name, form = request.node.callspec.params["source"]
    return graphs(name)[f"{form} half"]


def export(name, folder):
    import transformers
    from optimum.exporters.onnx import onnx_export_from_model

    architecture = ARCHITECTURES[name]
    config = architecture.config(vocab_size=len(architecture.tokenizer()), num_labels=3)
    with graph.quiet():
        model = transformers.AutoModelForSequenceClassification.from_config(config).eval()
        initialise(model)
        onnx_export_from_model(model, folder, task="text-classification", opset=graph.OPSET, do_validation=False)
    return folder / "model.onnx", config


def session(path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def answer(path, inputs):
    engine = session(path)
    return engine.run(None, {i.name: inputs[i.name] for i in engine.get_inputs()})[0]


def tokens(lengths=(12, 7, 1)):
    ids = np.random.default_rng(20).integers(5, 90, (len(lengths), 12))
    mask = (np.arange(12) < np.array(lengths)[:, None]).astype(np.int64)
    return {"input_ids": ids * mask, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}


def test_close_to_fp32_with_padding(source, half):
    exact, close = answer(source, tokens()), answer(half, tokens())
    assert np.ptp(exact) > 0.5
    assert np.abs(exact - close).max() < 0.01 * np.ptp(exact)
    assert (exact != close).any()


def test_a_text_without_a_token_is_finite(source, half):
    """Rows that are all mask fill up a batch; -3.4e38, -inf in fp16, would make them NaN."""
    exact, close = (answer(path, tokens(lengths=(12, 7, 0))) for path in (source, half))
    assert np.isfinite(close).all()
    assert np.abs(close - exact)[:2].max() < 0.01 * np.ptp(exact)


def test_the_wire_stays(source, half):
    before, after = session(source), session(half)
    assert [(i.name, i.type) for i in after.get_inputs()] == [(i.name, i.type) for i in before.get_inputs()]
    assert {i.type for i in after.get_inputs()} == {"tensor(int64)"}
    assert [(o.name, o.type) for o in after.get_outputs()] == [("logits", "tensor(float)")]


def test_half_the_size(source, half):
    model = onnx.load(str(half))
    sizes = dict.fromkeys((TensorProto.FLOAT, TensorProto.FLOAT16), 0)
    for weight in model.graph.initializer:
        sizes[weight.data_type] = sizes.get(weight.data_type, 0) + int(np.prod(weight.dims))
    assert sizes[TensorProto.FLOAT16] > 8 * sizes[TensorProto.FLOAT]


def test_the_same_bytes_again(source, half, tmp_path):
    fp16.convert(source, tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == half.read_bytes()


def test_normalisation_and_softmax_read_and_write_fp32(half):
    model = onnx.load(str(half))
    makers = {output: node for node in model.graph.node for output in node.output}
    wide = {w.name for w in model.graph.initializer if w.data_type == TensorProto.FLOAT}
    kept = fp16._kept(model.graph)
    checked = [n for n in model.graph.node if n.op_type in {*fp16._NORMALIZATIONS, "Softmax"}]
    assert len(checked) >= 4
    for node in checked:
        for name in filter(None, node.input[:3]):
            # A weight in fp32, a cast to it, or another node that is kept.
            maker = makers.get(name)
            assert name in wide if maker is None else cast_to(maker) == TensorProto.FLOAT or maker.name in kept
        for reader in (n for n in model.graph.node if node.output[0] in n.input):
            assert cast_to(reader) == TensorProto.FLOAT16 or reader.name in kept or reader.op_type == "Shape"


def cast_to(node):
    return next((a.i for a in node.attribute if a.name == "to"), None) if node.op_type == "Cast" else None


@pytest.mark.parametrize("name", ["bert", "distilbert"])
def test_a_fused_attention_takes_a_raw_mask(graphs, name):
    """With lengths instead, CUDA takes kernels that may sum in fp16."""
    model = onnx.load(str(graphs(name)["fused"]))
    makers = {output: node for node in model.graph.node for output in node.output}
    masks = [makers[n.input[3]] for n in model.graph.node if n.op_type == "Attention"]
    assert [(mask.op_type, mask.input[0]) for mask in masks] == [("Cast", "attention_mask")] * 2


# Sums that pass 65,504, as the residuals of some trained models do (TensorRT#2564).
def overflowing(tmp_path, *, fused):
    hidden, rng = 32, np.random.default_rng(20)
    weights = {
        "table": rng.normal(size=(50, hidden)) * 20_000,
        "weight": np.eye(hidden) + rng.normal(size=(hidden, hidden)) * 0.01,
        "gain": np.ones(hidden),
        "bias": np.zeros(hidden),
        "after": rng.normal(size=(hidden, hidden)) * 0.1,
        "classes": rng.normal(size=(hidden, 3)),
    }
    sum_and_norm = (
        [
            helper.make_node(
                "SkipLayerNormalization", ["near", "x", "gain", "bias"], ["n"], domain="com.microsoft", epsilon=1e-12
            )
        ]
        if fused
        else [
            helper.make_node("Add", ["near", "x"], ["sum"], name="sum"),
            helper.make_node("LayerNormalization", ["sum", "gain", "bias"], ["n"], epsilon=1e-12),
        ]
    )
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["x"]),
        helper.make_node("MatMul", ["x", "weight"], ["near"]),
        *sum_and_norm,
        helper.make_node("MatMul", ["n", "after"], ["m"]),
        helper.make_node("LayerNormalization", ["m", "gain", "bias"], ["p"], epsilon=1e-12),
        helper.make_node("MatMul", ["p", "classes"], ["logits"]),
    ]
    made = helper.make_graph(
        nodes,
        "overflowing",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["n", "t"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", "t", 3])],
        [numpy_helper.from_array(w.astype(np.float32), name) for name, w in weights.items()],
    )
    model = helper.make_model(
        made, opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)], ir_version=10
    )
    onnx.save(model, str(tmp_path / "wide.onnx"))
    return tmp_path / "wide.onnx"


def by_the_book(path):
    with np.errstate(over="ignore", invalid="ignore"):
        return ReferenceEvaluator(str(path)).run(None, IDS)[0]


IDS = {"input_ids": np.arange(40, dtype=np.int64).reshape(4, 10)}


def test_a_sum_beyond_fp16_is_normalised(tmp_path):
    wide = overflowing(tmp_path, fused=False)
    fp16.convert(wide, tmp_path / "half.onnx")
    assert np.abs(by_the_book(tmp_path / "half.onnx") - by_the_book(wide)).max() < 0.05


def test_without_the_kept_nodes_it_is_not(tmp_path, monkeypatch):
    """The test above can fail."""
    wide = overflowing(tmp_path, fused=False)
    monkeypatch.setattr(fp16, "_kept", lambda graph: set())
    fp16.convert(wide, tmp_path / "half.onnx")
    assert not np.isfinite(by_the_book(tmp_path / "half.onnx")).all()


def test_a_fused_sum_beyond_fp16_is_normalised(tmp_path):
    wide = overflowing(tmp_path, fused=True)
    fp16.convert(wide, tmp_path / "half.onnx")
    assert np.abs(answer(tmp_path / "half.onnx", IDS) - answer(wide, IDS)).max() < 0.02
    model = onnx.load(str(tmp_path / "half.onnx"))
    weights = {w.name: w.data_type for w in model.graph.initializer}
    assert weights["gain"] == weights["bias"] == weights["classes"] == TensorProto.FLOAT
    assert weights["table"] == weights["weight"] == weights["after"] == TensorProto.FLOAT16


@pytest.mark.parametrize("value", [-3.4028235e38, -np.inf, 1e6])
def test_a_constant_beyond_fp16_leaves_room_for_a_sum(tmp_path, value):
    wide = overflowing(tmp_path, fused=False)
    model = onnx.load(str(wide))
    model.graph.initializer.append(numpy_helper.from_array(np.array([value, 7.0], np.float32), "mask"))
    model.graph.node.insert(2, helper.make_node("Gather", ["mask", "zero"], ["masked"]))
    model.graph.initializer.append(numpy_helper.from_array(np.array(0, np.int64), "zero"))
    model.graph.node[3].input[1] = "x2"
    model.graph.node.insert(3, helper.make_node("Add", ["x", "masked"], ["x2"]))
    onnx.save(model, str(wide))
    fp16.convert(wide, tmp_path / "half.onnx")
    mask = next(w for w in onnx.load(str(tmp_path / "half.onnx")).graph.initializer if w.name == "mask")
    assert numpy_helper.to_array(mask).tolist() == [np.copysign(30000, value), 7.0]


def test_a_graph_without_weights_is_refused(tmp_path):
    nodes = [helper.make_node("Cast", ["input_ids"], ["logits"], to=TensorProto.FLOAT)]
    made = helper.make_graph(
        nodes,
        "empty",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["n"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n"])],
    )
    onnx.save(
        helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), tmp_path / "empty.onnx"
    )
    with pytest.raises(ValueError, match="no weight became fp16"):
        fp16.convert(tmp_path / "empty.onnx", tmp_path / "half.onnx")
    assert not (tmp_path / "half.onnx").exists()
