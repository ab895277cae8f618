"""A small classifier that is really trained, exported, and then broken in its ONNX file: each fault meets its rule."""

import copy
import dataclasses
import json
import types

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from tiny_text import tokenizer
from transformers import BertConfig, BertForSequenceClassification

from luxe.schema import Entry, Quality
from luxe_export import evaluation, graph
from luxe_export.gate import measurement
from luxe_export.gate.answering import Candidate
from luxe_export.gate.reference import reference
from luxe_export.ladder.int8 import quantize

LABELS = ("north", "east", "south", "west")
HINTS = {label: [f"{label}{i}" for i in range(6)] for label in LABELS}
NOISE = [f"word{i}" for i in range(40)]
ENTRY = Entry(
    name="tiny",
    description="",
    task="text-classification",
    labels=LABELS,
    max_length=48,
    slo={"requests_per_s": 1.0, "p50_ms": 1.0, "p95_ms": 1.0, "p99_ms": 1.0, "max_error_share": 0.0},
)
QUALITY = Quality(min_metric=0.55)
TEXTS = 240


def example(chance):
    """A text that hints at one label once more often than at another, among other words; every sixth label is wrong.

    To count, a model needs its attention, and a close call shows what little was lost of it.
    """
    label, other, third = chance.choice(4, size=3, replace=False)
    often = chance.integers(1, 3)
    words = [chance.choice(HINTS[LABELS[x]]) for x in [label] * (often + 1) + [other] * often + [third]]
    words += chance.choice(NOISE, size=chance.integers(0, 16)).tolist()
    chance.shuffle(words)
    return " ".join(words), LABELS[chance.integers(4) if chance.random() < 1 / 6 else label]


class Original:
    """As a `luxe_export.checkpoint.source.Source`."""

    ranking_activation = "sigmoid"
    entailment_id = contradiction_id = None

    def __init__(self):
        torch.manual_seed(0)
        self.tokenizer = tokenizer([*(w for words in HINTS.values() for w in words), *NOISE])
        config = BertConfig(
            vocab_size=len(self.tokenizer),
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=128,
            max_position_embeddings=64,
            num_labels=4,
            initializer_range=0.15,  # its layers do something from the start
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            attn_implementation="eager",
        )
        self.model = BertForSequenceClassification(config)
        self.entry = ENTRY
        self.config = config
        self._train()

    def _train(self):
        chance = np.random.default_rng(0)
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3)
        for _ in range(240):
            texts, labels = zip(*(example(chance) for _ in range(48)), strict=True)
            batch = self.tokenizer(list(texts), padding=True, return_tensors="pt")
            loss = self.model(**batch, labels=torch.tensor([LABELS.index(x) for x in labels])).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        self.model.eval()

    def answer(self, tokens):
        with torch.inference_mode():
            return self.model(**{name: torch.tensor([ids]) for name, ids in tokens.items()}).logits[0].numpy()


@pytest.fixture(scope="module")
def original():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return Original()
    finally:
        torch.set_num_threads(threads)


def asked(original, folder, rows):
    (folder / "test.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return reference(ENTRY, original, evaluation.load(ENTRY, folder, original), lambda: None)


@pytest.fixture(scope="module")
def right(original, tmp_path_factory):
    """PyTorch's answers."""
    chance = np.random.default_rng(1)
    rows = [dict(zip(("text", "label"), example(chance), strict=True)) for _ in range(TEXTS)]
    return asked(original, tmp_path_factory.mktemp("data"), rows)


@pytest.fixture(scope="module")
def intact(original, tmp_path_factory):
    return graph.to_onnx(types.SimpleNamespace(model=original.model, entry=ENTRY), tmp_path_factory.mktemp("onnx"))


@pytest.fixture
def measured(intact, right, tmp_path):
    """Measure the graph after something was done to it."""

    def measured(fault=None, path=intact, against=right, quality=None):
        if fault is not None:
            model = onnx.load(str(path))
            fault(model.graph)
            onnx.checker.check_model(model)
            path = tmp_path / "broken.onnx"
            onnx.save(model, str(path))
        return measurement.measure("tiny", path, against, lambda: None, quality=quality)[0]

    return measured


def rules(measured):
    """The rules of the catalogue that a candidate breaks."""
    names = {
        "macro-F1 drop": "max_metric_drop",
        "macro-F1": "min_metric",
        "agreement with PyTorch": "min_agreement",
        "largest change against PyTorch": "max_change",
        "largest change in a batch": "max_batch_change",
        "rise of the calibration error": "max_calibration_error_rise",
    }
    found = measurement.findings(measured, QUALITY)
    return {next(rule for name, rule in names.items() if finding.startswith(name)) for finding in found}


# --- faults ----------------------------------------------------------------------------------------------------------


def value(graph, name):
    return next(i for i in graph.initializer if i.name == name)


def set_value(graph, name, array):
    value(graph, name).CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), name))


def matrices(graph):
    """The names of the matrices that activations are multiplied by, in order: six a layer, then the pooler's."""
    constants = {i.name for i in graph.initializer}
    return [n.input[1] for n in graph.node if n.op_type in ("MatMul", "Gemm") and n.input[1] in constants]


def change(graph, name, function):
    set_value(graph, name, function(numpy_helper.to_array(value(graph, name))).astype(np.float32))


def three_bits(graph):
    for name in matrices(graph)[:6]:
        change(graph, name, lambda w: np.round(w / np.abs(w).max() * 3) * np.abs(w).max() / 3)


def labels_swapped(graph):
    for name in ("classifier.weight", "classifier.bias"):
        change(graph, name, lambda w: w[[1, 0, 2, 3]])


def head_halved(graph):
    for name in ("classifier.weight", "classifier.bias"):
        change(graph, name, lambda w: w / 2)


def matrix_doubled(graph):
    change(graph, matrices(graph)[8], lambda w: 2 * w)


def scale_doubled(graph):
    """Of a matrix in int8."""
    scales = [i.name for i in graph.initializer if i.name.endswith("/int8_scale")]
    change(graph, scales[8], lambda w: 2 * w)


def batch_mixed(graph):
    """Logits move a fifth of the way to the batch's mean; alone, a text is its own mean."""
    node = next(n for n in graph.node if "logits" in n.output)
    node.output[0] = "own"
    graph.initializer.append(numpy_helper.from_array(np.array([0]), "axis"))
    graph.initializer.append(numpy_helper.from_array(np.float32(0.2), "share"))
    graph.initializer.append(numpy_helper.from_array(np.float32(0.8), "rest"))
    graph.node.extend(
        [
            helper.make_node("ReduceMean", ["own", "axis"], ["mean"], keepdims=1),
            helper.make_node("Mul", ["mean", "share"], ["others"]),
            helper.make_node("Mul", ["own", "rest"], ["kept"]),
            helper.make_node("Add", ["kept", "others"], ["logits"]),
        ]
    )


def mask_ignored(graph):
    """Padding is attended to; alone, a text has none."""
    for node in graph.node:
        for i, name in enumerate(node.input):
            if name == "attention_mask":
                node.input[i] = "everything"
    graph.initializer.append(numpy_helper.from_array(np.int64(1), "one"))
    graph.node.insert(0, helper.make_node("Max", ["attention_mask", "one"], ["everything"]))


def not_a_number(graph):
    change(graph, "classifier.bias", lambda w: w * np.nan)


# --- what the gate says ----------------------------------------------------------------------------------------------


def test_the_model_has_learned_something_that_can_be_lost(right):
    assert right.score > 0.75
    assert right.calibration_error < 0.1
    assert np.stack(right.outputs).max(axis=1).mean() > 0.65


def test_the_intact_graph_passes(measured, right):
    m = measured()
    assert measurement.findings(m, QUALITY) == []
    assert m.metric == right.score
    assert m.agreement == 1
    assert m.change < 1e-4
    assert m.batch_change < 1e-4
    assert m.metric_drop_interval == (0, 0)
    low, high = m.metric_interval
    assert low < m.metric < high
    assert m.rows == m.rows_alone == TEXTS
    assert m.file_bytes > 100_000
    assert 100_000 < m.memory_bytes < 500_000_000


@pytest.mark.parametrize(
    ("fault", "broken"),
    [
        (three_bits, {"max_change", "min_agreement"}),
        (labels_swapped, {"min_metric", "max_metric_drop", "min_agreement", "max_change"}),
        (head_halved, {"max_calibration_error_rise"}),
        (matrix_doubled, {"min_agreement"}),
    ],
)
def test_a_worse_model_is_caught(measured, fault, broken):
    assert broken <= rules(measured(fault))


@pytest.mark.parametrize("fault", [batch_mixed, mask_ignored])
def test_answers_that_depend_on_the_batch_are_caught_by_that_rule_alone(measured, fault):
    assert rules(measured(fault)) == {"max_batch_change"}


def test_padding_alone_is_caught(measured, original, tmp_path):
    chance = np.random.default_rng(2)
    rows = [dict(zip(("text", "label"), example(chance), strict=True)) for _ in range(200)]
    same = [row for row in rows if len(row["text"].split()) == 10]
    against = asked(original, tmp_path, [*same, *same])  # no batch of these has padding
    assert rules(measured(mask_ignored, against=against)) >= {"max_batch_change"}


def test_dynamic_int8_is_caught_by_the_batch_rule(measured, intact, tmp_path):
    from onnxruntime.quantization import QuantType, quantize_dynamic

    path = tmp_path / "dynamic.onnx"
    with graph.quiet():
        options = {"MatMulConstBOnly": True}
        quantize_dynamic(intact, path, weight_type=QuantType.QInt8, reduce_range=True, extra_options=options)
    m = measured(path=path)
    assert "max_batch_change" in rules(m)


@pytest.fixture(scope="module")
def int8(intact, tmp_path_factory):
    path = tmp_path_factory.mktemp("int8") / "per-token.onnx"
    quantize(intact, path, scheme="per-token", cpu="avx2")
    return path


def test_int8_that_is_right_passes(measured, int8):
    m = measured(path=int8)
    assert measurement.findings(m, QUALITY) == []
    assert m.change > 1e-4


def test_a_wrong_scale_of_int8_is_caught(measured, int8):
    assert "min_agreement" in rules(measured(scale_doubled, path=int8))


def test_what_is_not_a_number_breaks_every_rule(measured):
    m = measured(not_a_number)
    assert rules(m) == set(Quality.model_fields)
    assert json.dumps(m.to_json(), allow_nan=False)


# --- how it is measured ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [labels_swapped, not_a_number])
def test_a_hopeless_candidate_is_stopped_and_says_so(measured, right, intact, fault):
    stopped, whole = measured(fault, quality=QUALITY), measured(fault)
    assert whole.rows_alone == TEXTS
    assert stopped.rows_alone == 32
    assert measurement.findings(stopped, QUALITY)[0].startswith("stopped: a batched answer is ")
    assert "32 of 240 rows were also answered alone" in measurement.findings(stopped, QUALITY)[0]
    # The verdict is that of measuring everything.
    assert set(measurement.findings(whole, QUALITY)) <= {
        f.replace(", of those seen,", "") for f in measurement.findings(stopped, QUALITY)
    }


def test_what_is_not_a_number_is_told_from_what_has_no_unit(measured, right):
    """Changes are counted in spreads or lengths, which may be 0."""
    assert measured(not_a_number, quality=QUALITY).stopped.startswith("stopped: a batched answer is not a number; ")
    endless = copy.copy(right.evaluation)
    endless.change = lambda before, after, reference=None: np.full(TEXTS, np.inf)
    m = measured(labels_swapped, quality=QUALITY, against=dataclasses.replace(right, evaluation=endless))
    assert m.stopped.startswith("stopped: a batched answer moved where PyTorch's answers never vary")


@pytest.mark.parametrize("fault", [None, batch_mixed])
def test_a_candidate_that_may_pass_is_not_stopped(measured, fault):
    m = measured(fault, quality=QUALITY)
    assert m.stopped is None
    assert m.rows_alone == TEXTS


@pytest.mark.parametrize("fault", [None, labels_swapped])
def test_progress_ends_at_what_was_announced(intact, right, tmp_path, fault):
    path = intact
    if fault:
        model = onnx.load(str(intact))
        fault(model.graph)
        path = tmp_path / "broken.onnx"
        onnx.save(model, str(path))
    steps = []
    measurement.measure("tiny", path, right, lambda: steps.append(None), quality=QUALITY)
    assert len(steps) == measurement.passes(right)


@pytest.mark.parametrize("which", ["intact", "int8"])
@pytest.mark.parametrize("batch", [1, 8])
def test_answers_do_not_depend_on_the_number_of_cores(request, right, which, batch):
    path = request.getfixturevalue(which)
    given = []
    for at_once in (1, 2, 5):
        with Candidate(path, right, at_once=at_once) as engine:
            given.append(np.stack(engine.answer(range(60), batch=batch, advance=lambda: None)))
    assert (given[0] == given[1]).all()
    assert (given[0] == given[2]).all()


def test_measuring_twice_gives_the_same_numbers(measured):
    first, second = measured(labels_swapped).to_json(), measured(labels_swapped).to_json()
    assert {**first, "memory_bytes": 0} == {**second, "memory_bytes": 0}


def test_details_show_what_changed_most(right, intact, tmp_path):
    model = onnx.load(str(intact))
    labels_swapped(model.graph)
    onnx.save(model, str(tmp_path / "broken.onnx"))
    _, details = measurement.measure("tiny", tmp_path / "broken.onnx", right, lambda: None)
    assert [x.change for x in details.changed] == sorted((x.change for x in details.changed), reverse=True)
    assert len(details.changed) == 10
    swapped = {frozenset((x.before.split()[0], x.after.split()[0])) for x in details.changed}
    assert swapped == {frozenset({"north", "east"})}
    before, after = np.array(details.confusion_before), np.array(details.confusion_after)
    assert (after[:, [1, 0, 2, 3]] == before).all()
    assert before.sum() == sum(b.count for b in details.reliability_after) == TEXTS
    json.dumps(details.to_json(), allow_nan=False)
