"""Every architecture and every task: exported, served on a real Triton, and held against PyTorch."""

import itertools
import json
import signal

import conformance
import numpy as np
import pytest
from conformance_fleet import EXACT, FLEET, fleet_of
from e2e_support import Serving, luxe

END_S = 60.0
NEIGHBOURS = 1e-5
"""What the texts beside a text may change."""

pytestmark = pytest.mark.timeout(1200)  # the first test waits for the whole fleet


def of_kind(*kinds):
    return pytest.mark.parametrize("name", [name for name, spec in FLEET.items() if spec.kind in kinds])


@pytest.fixture(scope="module")
def address(fleet, tmp_path_factory):
    """Where the whole fleet is served."""
    serving = Serving(fleet.project.root, tmp_path_factory.mktemp("served"))
    try:
        yield serving.until_ready(timeout_s=180.0).address.grpc
        serving.signal(signal.SIGTERM)
        assert serving.end(timeout_s=END_S) == 0
        assert serving.left() == []
    finally:
        serving.kill()


@fleet_of
def test_served_answers_are_pytorchs(fleet, address, name):
    """Alone, 32 at a time, and interleaved from 8 threads."""
    brought = fleet.brought[name]
    arrays = conformance.question(brought)
    count = len(arrays["text"])
    kinds = {"feature-extraction": "embeddings", "token-classification": "entities"}
    output = kinds.get(brought.kind.task, "scores")
    alone = conformance.answers(address, name, arrays, [[i] for i in range(count)])
    batched = conformance.answers(address, name, arrays, [list(range(count))[i : i + 32] for i in range(0, count, 32)])
    mixed = conformance.answers(address, name, arrays, _mixed(count), threads=8)
    for answers in (alone, batched, mixed):
        assert (answers.pop("timings")[:, 2] > 0).all(), "answered by the engine, each time"
    order = list(itertools.chain.from_iterable(_mixed(count)))
    placed = sorted(range(count), key=order.__getitem__)
    theirs = fleet.theirs(name)
    bound = fleet.published(name)["change"] + EXACT
    for ours in (alone[output], batched[output], [mixed[output][i] for i in placed]):
        assert conformance.change(brought, theirs, ours) <= bound
        _assert_same(ours, alone[output])
    for key in alone.keys() - {output}:
        assert np.array_equal(alone[key], batched[key])
        assert np.array_equal(alone[key], mixed[key][placed])
    assert np.array_equal(alone["truncated"], conformance.truncated(brought))


def _mixed(count):
    """Requests of 1 to 5 texts from all over the test set."""
    order = np.random.default_rng(8).permutation(count).tolist()
    groups = []
    while order:
        size = len(groups) % 5 + 1
        groups.append(order[:size])
        order = order[size:]
    return groups


def _assert_same(ours, theirs):
    if isinstance(theirs, list):
        assert [[e[:3] for e in row] for row in ours] == [[e[:3] for e in row] for row in theirs]
        ours, theirs = ([e[3] for row in answer for e in row] for answer in (ours, theirs))
    assert np.abs(np.asarray(ours) - np.asarray(theirs)).max() <= NEIGHBOURS


@fleet_of
def test_the_test_set_holds_texts_that_are_cut_and_such_as_are_not(fleet, name):
    if FLEET[name].kind not in ("feature-extraction", "zero-shot-classification", "text-ranking"):
        assert set(conformance.truncated(fleet.brought[name]).ravel().tolist()) == {True, False}


def _first(brought, count):
    return {key: array[:count] for key, array in conformance.question(brought).items()}


@of_kind("single-label", "multi-label", "regression", "pairs")
def test_classes_have_their_names_and_the_unsure_are_marked(fleet, address, name):
    brought = fleet.brought[name]
    catalogue, theirs = brought.kind.catalogue, fleet.theirs(name)[:32]
    answer = conformance.answers(address, name, _first(brought, 32), [list(range(32))])
    assert {tuple(label.decode() for label in row) for row in answer["labels"]} == {tuple(catalogue["labels"])}
    # A client has no other way to tell them apart.
    problem_types = {value.decode() for value in answer.get("problem_type", np.array([])).ravel()}
    assert problem_types == set(filter(None, [catalogue.get("problem_type")]))
    sure = np.maximum(theirs, 1 - theirs).min(axis=1) if FLEET[name].kind == "multi-label" else theirs.max(axis=1)
    if FLEET[name].kind == "regression":
        assert not answer["needs_review"].any()
        return
    threshold = catalogue.get("review_threshold", 0.0)
    slack = fleet.published(name)["change"] + EXACT
    clear = np.abs(sure - threshold) > slack
    assert np.array_equal(answer["needs_review"][clear, 0], (sure < threshold)[clear])


@of_kind("token-classification")
def test_entities_are_those_of_transformers_pipeline(fleet, address, name):
    brought = fleet.brought[name]
    arrays = conformance.question(brought)
    ours = conformance.answers(address, name, arrays, [list(range(32))])["entities"]
    theirs = fleet.theirs(name)[:32]
    assert sum(map(len, theirs)) > 32
    mine, right = ([{e[:3] for e in row} for row in answer] for answer in (ours, theirs))
    if FLEET[name].published == "fp32":
        assert mine == right
    hits = sum(len(a & b) for a, b in zip(mine, right, strict=True))
    assert 2 * hits / (sum(map(len, mine)) + sum(map(len, right))) >= 0.9
    for text, row in zip(brought.rows, ours, strict=False):
        for start, end, label, _ in row:
            assert text[start:end] == text[start:end].strip() != ""
            assert label in ("COLOUR", "PLACE")


@of_kind("feature-extraction")
def test_embeddings_have_length_one(fleet, address, name):
    brought = fleet.brought[name]
    ours = conformance.answers(address, name, _first(brought, 32), [list(range(32))])["embeddings"]
    assert np.abs(np.linalg.norm(ours, axis=1) - 1).max() < 1e-5
    theirs = fleet.theirs(name)[:32]
    assert (theirs * ours).sum(axis=1).min() > (0.99999 if FLEET[name].published == "fp32" else 0.99)


@of_kind("zero-shot-classification")
@pytest.mark.parametrize("multi_label", [False, True])
def test_zero_shot_scores_are_those_of_transformers_pipeline(fleet, address, name, multi_label):
    brought = fleet.brought[name]
    template, labels = brought.kind.catalogue["hypothesis_template"], list(brought.kind.catalogue["labels"])
    count = 12
    arrays = _first(brought, count) | {"multi_label": np.full((count, 1), multi_label)}
    ours = conformance.answers(address, name, arrays, [list(range(count))])["scores"]
    texts = [row[0].decode() for row in arrays["text"]]
    found = conformance.pipeline(brought)(
        texts, candidate_labels=labels, hypothesis_template=template, multi_label=multi_label
    )
    theirs = np.array([[one["scores"][one["labels"].index(label)] for label in labels] for one in found])
    by_hand = conformance.expected(brought, multi_label=multi_label)[:count]
    assert np.abs(theirs - by_hand).max() < EXACT, "the test's own formula"
    if FLEET[name].published == "fp32":
        assert np.abs(ours - theirs).max() < EXACT
    if multi_label:
        assert ((ours >= 0.5) == (theirs >= 0.5)).mean() >= 0.9
    else:
        assert np.array_equal(ours.argmax(axis=1), theirs.argmax(axis=1))


@of_kind("text-ranking")
def test_documents_have_pytorchs_order(fleet, address, name):
    brought = fleet.brought[name]
    arrays = conformance.question(brought)
    ours = conformance.answers(address, name, arrays, [list(range(len(brought.rows)))[:30]])["scores"][:, 0]
    theirs = fleet.theirs(name)[:30, 0]
    slack = fleet.published(name)["change"] + EXACT
    pairs = [(i, j) for i, j in itertools.combinations(range(30), 2) if brought.rows[i][0] == brought.rows[j][0]]
    clear = [(i, j) for i, j in pairs if abs(theirs[i] - theirs[j]) > 2 * slack]
    assert len(clear) > len(pairs) / 2
    assert all((ours[i] > ours[j]) == (theirs[i] > theirs[j]) for i, j in clear)


def test_predict_takes_more_lines_than_the_model_takes_in_one_request(fleet, address):
    name = "roberta-single-label"
    stdin = "\n".join(fleet.brought[name].rows).encode()
    done = luxe("predict", name, "--json", "--address", address, stdin=stdin)
    assert done.status == 0, done.err
    answers = [json.loads(line) for line in done.out.splitlines()]
    assert len(answers) == len(fleet.brought[name].rows) > 32
    labels, theirs = fleet.brought[name].kind.catalogue["labels"], fleet.theirs(name)
    assert [answer["label"] for answer in answers] == [labels[i] for i in theirs.argmax(axis=1)]
