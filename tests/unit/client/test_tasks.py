"""Every task but plain classification, against the fake: what is sent, what comes back, and in which shape."""

import numpy as np
import pytest

from luxe_client import (
    Answer,
    Classification,
    Entity,
    InvalidInput,
    Labels,
    ModelNotFound,
    ProtocolError,
    Score,
    Timings,
    ZeroShot,
    ZeroShotLabels,
)
from luxe_client.testing import add_output, response_to, texts_of

SCORES = {"new": 0.2, "used": 0.9, "sold": 0.7}


def length(text):
    return [float(len(text)), 1.0, 0.0]


def overlap(query, document):
    return len(set(query.split()) & set(document.split())) / 10


@pytest.fixture
def many(triton):
    triton.classify("topics", SCORES, problem_type="multi_label_classification", needs_review=lambda t: "?" in t)
    triton.classify("warmth", lambda text: {"warmth": float(len(text))}, problem_type="regression")
    triton.tag("names", lambda text: [("PER", i, i + 3, 0.5) for i in range(len(text)) if text[i : i + 3] == "Ana"])
    triton.embed("vectors", length)
    triton.rank("order", overlap)
    triton.zero_shot("free", lambda text, label: 0.8 if label in text else 0.2, longest=30)
    return triton


def test_a_multi_label_model_gives_labels(client, many):
    answer, other = client.classify("topics", ["plain", "sure?"], expect=Labels)
    assert isinstance(answer, Labels)
    assert not hasattr(answer, "label")
    assert answer.above() == ["used", "sold"]
    assert answer.above(0.8) == ["used"]
    assert answer.above(0.95) == []
    assert answer.top(2) == [("used", pytest.approx(0.9)), ("sold", pytest.approx(0.7))]
    assert (answer.needs_review, other.needs_review) == (False, True)


def test_a_single_label_model_has_no_threshold(client):
    assert not hasattr(client.classify("colours", "red"), "above")


def test_a_regression_gives_a_score(client, many):
    answer = client.classify("warmth", "four", expect=Score)
    assert (answer.value, answer.values) == (4.0, {"warmth": 4.0})


@pytest.mark.parametrize(("model", "kind"), [("topics", Labels), ("warmth", Score), ("colours", Classification)])
def test_whatever_it_is(client, many, model, kind):
    assert type(client.classify(model, "text", expect=Answer)) is kind


@pytest.mark.parametrize(
    ("model", "expect", "words"),
    [
        ("topics", Classification, "topics is a multi-label model: ask it with expect=Labels"),
        ("warmth", Labels, "warmth is a regression: ask it with expect=Score"),
        ("colours", Labels, "colours is a single-label model: ask it with expect=Classification"),
    ],
)
def test_another_kind_than_expected(client, many, model, expect, words):
    with pytest.raises(InvalidInput, match=words):
        client.classify(model, "text", expect=expect)


def test_entities_point_into_the_callers_text(client, many):
    text = "👗 Ana met Ana"
    answer, none = client.tag("names", [text, "nobody"])
    assert list(answer) == [Entity("PER", "Ana", 2, 5, 0.5), Entity("PER", "Ana", 10, 13, 0.5)]
    assert all(text[e.start : e.end] == e.text for e in answer.entities)
    assert (len(answer), len(none)) == (2, 0)
    assert client.tag("names", "Ana").entities[0].text == "Ana"


@pytest.mark.parametrize("bad", [(-1, 2), (2, 2), (3, 2), (0, 99)])
def test_an_entity_outside_of_its_text(client, triton, bad):
    triton.tag("names", lambda _text: [("PER", *bad, 0.5)])
    with pytest.raises(ProtocolError, match="an entity from"):
        client.tag("names", "Ana")


def test_embeddings_are_float32_of_the_shape_of_what_was_asked(client, many):
    one, several, none = (client.embed("vectors", texts) for texts in ("four", ["four", "seven77"], []))
    assert (one.shape, several.shape, none.shape) == ((3,), (2, 3), (0, 0))
    assert {one.dtype, several.dtype, none.dtype} == {np.dtype("float32")}
    assert several.tolist() == [length("four"), length("seven77")]
    one[0] = 0  # the caller's own, to change


def test_embeddings_over_several_requests_keep_their_order(triton, make, many):
    texts = ["x" * n for n in range(1, 12)]
    vectors = make(triton.address, batch_size=4).embed("vectors", texts)
    assert vectors[:, 0].tolist() == list(range(1, 12))


def test_similarity_has_the_shape_of_its_two_sides(client, many):
    assert client.similarity("vectors", "same", "same") == pytest.approx(1.0)
    assert isinstance(client.similarity("vectors", "same", "other one"), float)
    assert client.similarity("vectors", "a", ["a", "bb", "ccc"]).shape == (3,)
    assert client.similarity("vectors", ["a", "bb"], "a").shape == (2,)
    table = client.similarity("vectors", ["a", "bb"], ["a", "bb", "ccc"])
    left, right = np.array([length("a"), length("bb")]), np.array([length("a"), length("bb"), length("ccc")])
    cosines = left @ right.T / np.outer(np.linalg.norm(left, axis=1), np.linalg.norm(right, axis=1))
    np.testing.assert_allclose(table, cosines, rtol=1e-6)


def test_similarity_embeds_each_text_once(client, many):
    client.similarity("vectors", ["a", "bb", "a"], ["bb", "a"])
    assert [texts_of(request) for request in many.requests] == [["a", "bb"]]


def test_a_vector_of_nothing_is_like_nothing(client, triton):
    triton.embed("vectors", lambda _text: [0.0, 0.0])
    assert client.similarity("vectors", "a", "b") == 0.0


def test_ranking(client, many):
    documents = ["nothing here", "red boots here", "red boots", "boots"]
    answer = client.rank("order", "red boots", documents)
    assert [ranked.index for ranked in answer] == [1, 2, 3, 0]  # equal ones in the order given
    assert [ranked.text for ranked in answer.top(2)] == documents[1:3]
    assert [ranked.score for ranked in answer] == pytest.approx([0.2, 0.2, 0.1, 0.0])
    assert (answer.model, answer.version, len(answer)) == ("order", "1", 4)
    assert answer.request_id == many.requests[0].id


def test_ranking_over_several_requests(triton, make, many):
    documents = [f"red {'boots ' * (n % 2)}{n}" for n in range(10)]
    answer = make(triton.address, batch_size=3).rank("order", "red boots", documents)
    assert [ranked.index for ranked in answer] == [1, 3, 5, 7, 9, 0, 2, 4, 6, 8]
    assert len(many.requests) == 4


def test_pairs_keep_their_order(client, many):
    scores = client.score_pairs("order", [("a b", "b"), ("a b", "a b"), ("a", "c")])
    assert [score.value for score in scores] == pytest.approx([0.1, 0.2, 0.0])
    assert client.score_pairs("order", []) == []


def test_zero_shot_one_of_them(client, many):
    answer = client.zero_shot("free", "red boots", ["boots", "hats"])
    assert isinstance(answer, ZeroShot)
    assert (answer.label, answer.score) == ("boots", pytest.approx(0.8))
    assert list(answer.scores) == ["boots", "hats"]
    assert not hasattr(answer, "above")


def test_zero_shot_any_of_them(client, many):
    (answer,) = client.zero_shot("free", ["red boots"], ["boots", "red", "hats"], multi_label=True)
    assert isinstance(answer, ZeroShotLabels)
    assert answer.above() == ["boots", "red"]
    assert not hasattr(answer, "label")


def test_zero_shot_sends_no_more_pairs_than_a_server_takes(client, many):
    labels = [f"label {n}" for n in range(60)]
    answers = client.zero_shot("free", ["text"] * 9, labels)
    assert len(answers) == 9
    sent = [request.inputs[1].shape for request in many.requests]
    assert max(count * width for count, width in sent) <= 8 * 32


def test_a_pair_of_texts(client, triton):
    client.classify("colours", ["a", "b"], text_pair=["c", "d"])
    assert texts_of(triton.requests[0], "text_pair") == ["c", "d"]


@pytest.mark.parametrize(
    ("method", "arguments", "words"),
    [
        ("rank", ("order", "query", []), "at least one"),
        ("rank", ("order", "query", "document"), "list of documents"),
        ("rank", ("order", ["query"], ["document"]), "one query"),
        ("rank", ("order", "query", ["fine", " "]), "document 1 is empty"),
        ("score_pairs", ("order", [("a", "b"), ("a",)]), "pair 1 is not two texts"),
        ("score_pairs", ("order", ["ab"]), "pair 0 is not two texts"),
        ("score_pairs", ("order", "ab"), "not a list of pairs"),
        ("zero_shot", ("free", "text", []), "at least one"),
        ("zero_shot", ("free", "text", "label"), "list of candidate labels"),
        ("zero_shot", ("free", "text", ["a", "a "]), "repeat"),
        ("embed", ("vectors", [3]), "text 0 is int"),
        ("similarity", ("vectors", "a", [""]), "right text 0 is empty"),
        ("tag", ("names", ["a", ""]), "text 1 is empty"),
        ("classify", ("", "text"), "not the name of a model"),
        ("raw_infer", ("vectors", {}), "at least one input"),
        ("raw_infer", ("vectors", {"x": np.array([1j])}), "input x is complex128"),
        ("raw_infer", ("vectors", {"x": np.array([None])}), "input x holds NoneType"),
    ],
)
def test_bad_arguments_cost_no_call(client, many, method, arguments, words):
    with pytest.raises(InvalidInput, match=words):
        getattr(client, method)(*arguments)
    assert many.requests == []


@pytest.mark.parametrize("pair", ["one", ["a"], ["a", "b", "c"]])
def test_text_pairs_that_do_not_fit(client, triton, pair):
    with pytest.raises(InvalidInput, match="text_pairs to 2 texts"):
        client.classify("colours", ["a", "b"], text_pair=pair)
    assert triton.requests == []


DTYPES = ["?", "<i1", "<i2", "<i4", "<i8", "<u1", "<u2", "<u4", "<u8", "<f2", "<f4", "<f8"]


@pytest.mark.parametrize("dtype", [*DTYPES, ">i4", ">f8"])
def test_raw_tensors_go_there_and_back(client, triton, dtype):
    def script(request, _context):
        response = response_to(request)
        (given,) = request.inputs
        add_output(response, "same", given.datatype, given.shape, request.raw_input_contents[0])
        return response

    triton.script = script
    array = np.arange(6).reshape(2, 3).astype(dtype)
    answer = client.raw_infer("anything", {"x": array}, parameters={"a": 1, "b": True, "c": "d"}, version="3")
    assert np.array_equal(answer["same"], array)
    assert answer["same"].dtype == array.dtype.newbyteorder("<")
    request = triton.requests[0]
    assert request.model_version == "3"
    found = {name: p.WhichOneof("parameter_choice") for name, p in request.parameters.items() if name != "timeout"}
    assert found == {"a": "int64_param", "b": "bool_param", "c": "string_param"}


def test_raw_bytes(client, triton):
    def script(request, _context):
        response = response_to(request)
        response.parameters["took"].double_param = 0.5
        add_output(response, "same", "BYTES", request.inputs[0].shape, request.raw_input_contents[0])
        return response

    triton.script = script
    answer = client.raw_infer("anything", {"x": np.array([["é", b"\xff"]], dtype=object)}, outputs=["same"])
    assert answer.outputs["same"].tolist() == [["é".encode(), b"\xff"]]
    assert answer.parameters == {"took": 0.5}
    assert [output.name for output in triton.requests[0].outputs] == ["same"]


def test_a_server_that_tells_its_timings(client, triton):
    def script(request, _context):
        response = triton._models["colours"](request)
        add_output(response, "timings", "FP32", [1, 3], np.array([0.25, 0.5, 1.0], dtype="<f4").tobytes())
        return response

    assert client.classify("colours", "red").timings == Timings(None, None, None)
    triton.script = script
    assert client.classify("colours", "red").timings == Timings(queue_s=0.25, tokenize_s=0.5, engine_s=1.0)


def test_models(client, triton):
    triton.index["colours", "12"] = "UNAVAILABLE"
    found = client.models()
    assert [(model.name, model.version, model.ready) for model in found] == [
        ("colours", "7", True),
        ("colours", "12", False),
    ]


def test_an_unknown_model_of_any_task(client):
    with pytest.raises(ModelNotFound):
        client.embed("nobody", "text")
