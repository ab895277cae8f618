"""Every task through `TextModel`: requests of other sizes and lengths arrive together, and each gets its own answer."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from text_models import VOCAB, WORDS, Replies, column, table, tokenizer

from luxe_serving.text import answers, tensors
from luxe_serving.text.pending import Request
from luxe_serving.text.questions import InvalidText

TABLE = np.random.default_rng(1).normal(scale=2.0, size=(len(VOCAB), 4)).astype(np.float32)
TAGS = ("O", "B-PER", "I-PER", "B-LOC")
SPAN = {"task": "token-classification", "labels": TAGS, "engine_width": 4}
EMBED = {"task": "feature-extraction", "labels": (), "engine_width": 4, "engine_output": "embeddings"}
RANK = {"task": "text-ranking", "labels": (), "engine_width": 1}
ZERO = {
    "task": "zero-shot-classification",
    "labels": (),
    "engine_width": 3,
    "entailment_id": 2,
    "contradiction_id": 0,
    "max_length": 16,
}


def by_token(tensors):
    """[N, T, 4]: a token's own numbers, and something of its neighbours, but not of padding."""
    mask = tensors["attention_mask"][..., None]
    own = TABLE[tensors["input_ids"]] * mask
    # As padding is in a real engine: any numbers.
    return np.where(mask == 1, own + 0.1 * own.sum(axis=1, keepdims=True), 7.0).astype(np.float32)


def by_text(width):
    """[N, width]: other for (a, b) than for (b, a), since the second part weighs more."""

    def engine(tensors):
        mask = tensors["attention_mask"][..., None]
        weight = mask * (1 + 2 * tensors["token_type_ids"][..., None])
        return ((TABLE[tensors["input_ids"]] * weight).sum(axis=1) / mask.sum(axis=1))[:, :width]

    return engine


def alone(engine, first, second=None, *, truncate_second=True, length=12):
    """The engine's output of one row, cut by hand."""
    a, b = first.split(), None if second is None else second.split()
    room = length - (2 if b is None else 3)
    first_was_longer = b is not None and len(a) > len(b)
    while len(a) + len(b or ()) > room:
        # Of two that have become equal, the one that was longer keeps a token more.
        from_second = b is not None and truncate_second and len(b) + first_was_longer > len(a)
        (b if from_second else a).pop()
    ids = [VOCAB["[CLS]"], *(VOCAB[w] for w in a), VOCAB["[SEP]"]]
    types = [0] * len(ids)
    if b is not None:
        more = [*(VOCAB.get(w, VOCAB["[UNK]"]) for w in b), VOCAB["[SEP]"]]
        ids, types = ids + more, types + [1] * len(more)
    row = {"input_ids": ids, "attention_mask": [1] * len(ids), "token_type_ids": types}
    return engine({name: np.array([values]) for name, values in row.items()})[0]


def ask(model, *requests):
    """Submit requests, each its arrays, together; return their answers, which have what the tables promise."""
    replies = Replies()
    model.submit([Request(arrays, replies(i)) for i, arrays in enumerate(requests)])
    found = replies.wait(len(requests))
    for arrays, answer in zip(requests, found, strict=True):
        if not isinstance(answer, Exception):
            assert_promised(model, len(arrays["text"]), answer)
    return found


def assert_promised(model, texts, answer):
    promised = tensors.outputs(model.settings, model.settings.engine_width)
    assert list(answer) == [tensor.name for tensor in promised]
    types = {"BYTES": object, "BOOL": np.bool_, "INT32": np.int32, "FP32": np.float32}
    for tensor in promised:
        array = answer[tensor.name]
        assert array.dtype == types[tensor.datatype], tensor
        assert array.shape[0] == texts
        assert array.ndim == 1 + len(tensor.dims)
        assert tensor.dims == (-1,) or array.shape[1:] == tensor.dims


MANY = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
TEXTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=18).map(" ".join)
SHORT = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join)


def requests_of(items):
    return st.lists(st.lists(items, min_size=1, max_size=4), min_size=1, max_size=6)


@MANY
@given(requests=requests_of(TEXTS))
def test_token_classification(make, requests):
    model = make(by_token, **SPAN, engine_instances=2)
    for texts, answer in zip(requests, ask(model, *({"text": column(r)} for r in requests)), strict=True):
        right = []
        for text in texts:
            raw = alone(by_token, text)
            words = text.split()[: len(raw) - 2]
            ends = np.cumsum([len(word) + 1 for word in words]) - 1
            offsets = [(0, 0), *((int(e) - len(w), int(e)) for w, e in zip(words, ends, strict=True)), (0, 0)]
            special = [1, *[0] * len(words), 1]
            scores = answers.activate(model.settings, raw)
            right.append(answers.entities(scores, offsets, special, list(range(len(raw))), text, TAGS, "simple"))
        most = max(len(entities) for entities in right)
        assert answer["labels"].shape == (len(texts), most)
        for i, entities in enumerate(right):
            size = len(entities)
            assert [label.decode() for label in answer["labels"][i]] == [e.label for e in entities] + [""] * (
                most - size
            )
            np.testing.assert_allclose(answer["scores"][i], [e.score for e in entities] + [0] * (most - size), 1e-5)
            assert answer["starts"][i].tolist() == [e.start for e in entities] + [-1] * (most - size)
            assert answer["ends"][i].tolist() == [e.end for e in entities] + [-1] * (most - size)
        assert answer["truncated"].ravel().tolist() == [len(t.split()) > 10 for t in texts]
    model.close()


def test_texts_without_entities(make):
    (answer,) = ask(make(lambda t: np.zeros((*t["input_ids"].shape, 4)), **SPAN), {"text": column(["w1 w2", "w3"])})
    assert [answer[name].shape for name in ("labels", "scores", "starts", "ends")] == [(2, 0)] * 4


def test_offsets_are_characters(make):
    def engine(tensors):
        return 9.0 * np.eye(4, dtype=np.float32)[np.where(tensors["input_ids"] == VOCAB["w7"], 3, 0)]

    (answer,) = ask(make(engine, **SPAN), {"text": column(["🚀é w7 w1", "w1"])})
    assert answer["labels"].tolist() == [[b"LOC"], [b""]]
    assert "🚀é w7 w1"[answer["starts"][0, 0] : answer["ends"][0, 0]] == "w7"


@MANY
@given(requests=requests_of(TEXTS))
def test_feature_extraction(make, requests):
    model = make(by_text(4), **EMBED)
    for texts, answer in zip(requests, ask(model, *({"text": column(r)} for r in requests)), strict=True):
        right = [alone(by_text(4), text) for text in texts]
        np.testing.assert_allclose(answer["embeddings"], right, rtol=1e-4, atol=1e-5)
    model.close()


@MANY
@given(requests=requests_of(st.tuples(TEXTS, TEXTS)))
@pytest.mark.parametrize("activation", ["sigmoid", "identity"])
def test_text_ranking(make, activation, requests):
    model = make(by_text(1), **RANK, ranking_activation=activation)
    asked = [{"text": column([a for a, _ in r]), "text_pair": column([b for _, b in r])} for r in requests]
    for pairs, answer in zip(requests, ask(model, *asked), strict=True):
        raw = np.array([alone(by_text(1), a, b) for a, b in pairs])
        right = 1 / (1 + np.exp(-raw)) if activation == "sigmoid" else raw
        np.testing.assert_allclose(answer["scores"], right, rtol=1e-4, atol=1e-5)
        cut = [len(a.split()) + len(b.split()) > 9 for a, b in pairs]
        assert answer["truncated"].ravel().tolist() == cut
    model.close()


@st.composite
def zero_shot_requests(draw):
    """Texts with K labels each, some of them the same from text to text, and K other in every request."""
    requests = []
    for _ in range(draw(st.integers(1, 5))):
        k = draw(st.integers(1, 5))
        texts = draw(st.lists(TEXTS, min_size=1, max_size=4))
        labels = [draw(st.lists(SHORT, min_size=k, max_size=k, unique=True)) for _ in texts]
        requests.append((texts, labels, draw(st.none() | st.lists(st.booleans(), min_size=4, max_size=4))))
    return requests


@MANY
@given(requests=zero_shot_requests())
def test_zero_shot(make, requests):
    model = make(by_text(3), **ZERO, engine_instances=2)
    asked = []
    for texts, labels, multi in requests:
        asked.append({"text": column(texts), "candidate_labels": table(labels, width=len(labels[0]))})
        if multi is not None:
            asked[-1]["multi_label"] = np.array(multi[: len(texts)]).reshape(-1, 1)
    for (texts, labels, multi), answer in zip(requests, ask(model, *asked), strict=True):
        assert answer["scores"].shape == (len(texts), len(labels[0]))
        for i, (text, of_text) in enumerate(zip(texts, labels, strict=True)):
            rows = [alone(by_text(3), text, f"w30 {c} w31", truncate_second=False, length=16) for c in of_text]
            right = answers.zero_shot(
                np.array(rows), entailment_id=2, contradiction_id=0, multi_label=bool(multi and multi[i])
            )
            np.testing.assert_allclose(answer["scores"][i], right, rtol=1e-3, atol=1e-5)
            longest = max(len(c.split()) for c in of_text) + 2
            assert answer["truncated"][i, 0] == (len(text.split()) + longest > 13)
    model.close()


def test_a_label_that_leaves_no_room_concerns_its_own_request_only(make):
    model = make(by_text(3), **ZERO)
    good = {"text": column(["w1 w2"]), "candidate_labels": table([["w3", "w4"]], width=2)}
    long = " ".join(WORDS[:14])
    bad = {
        "text": column(["w1 w2", "w3 w4"]),
        "candidate_labels": table([["w5", "w6"], ["w7", long]], width=2),
    }
    before, refused, after = ask(model, good, bad, good)
    assert isinstance(refused, InvalidText)
    assert str(refused) == "text 1 with candidate label 1 cannot be tokenised: leaves no room within 16 tokens"
    np.testing.assert_array_equal(before["scores"], after["scores"])
    assert before["scores"].sum() == pytest.approx(1.0)
    (refused,) = ask(model, {"text": column(["w1"]), "candidate_labels": table([[long]], width=1)})
    assert "text 0 with candidate label 0 " in str(refused)


def test_one_tokenizer_call_for_a_dynamic_batch(make):
    model, calls = make(by_text(4), **EMBED), []

    class Counting:
        def encode_batch(self, rows):
            calls.append(len(rows))
            return tokenizer().encode_batch(rows)

    model._encoder._tokenizer = Counting()
    ask(model, *({"text": column(["w1", "w2"])} for _ in range(16)))
    assert calls == [32]
    # 40 texts of 3 labels are more rows than one call may hold.
    calls.clear()
    model = make(by_text(3), **ZERO)
    model._encoder._tokenizer = Counting()
    one = {"text": column(["w1"] * 4), "candidate_labels": table([["w2", "w3", "w4"]] * 4, width=3)}
    ask(model, *[one] * 10)
    assert calls == [60, 60]


def test_pairs_of_a_text_classification(make):
    model = make(by_text(3), text_pairs=True)
    there, back = ask(
        model,
        {"text": column(["w1 w2"]), "text_pair": column(["w3"])},
        {"text": column(["w3"]), "text_pair": column(["w1 w2"])},
    )
    for answer, pair in ((there, ("w1 w2", "w3")), (back, ("w3", "w1 w2"))):
        exps = np.exp(alone(by_text(3), *pair))
        np.testing.assert_allclose(answer["scores"][0], exps / exps.sum(), rtol=1e-4)


@pytest.mark.parametrize(
    ("problem_type", "right"),
    [
        ("multi_label_classification", lambda raw: 1 / (1 + np.exp(-raw))),
        ("regression", lambda raw: raw),
    ],
)
def test_problem_types(make, problem_type, right):
    texts = ["w1", "w2 w3", "w4", "w5", "w6"]
    (answer,) = ask(make(by_text(3), problem_type=problem_type, review_threshold=0.6), {"text": column(texts)})
    scores = right(np.array([alone(by_text(3), text) for text in texts]))
    np.testing.assert_allclose(answer["scores"], scores, rtol=1e-4)
    unsure = (np.maximum(scores, 1 - scores) < 0.6).any(axis=1) & (problem_type != "regression")
    assert answer["needs_review"].ravel().tolist() == unsure.tolist()
    assert answer["problem_type"].tolist() == [[problem_type.encode()]] * len(texts)


@pytest.mark.parametrize(
    ("changes", "spoiled"),
    [
        (SPAN, lambda t: by_token(t)[:, 0]),
        (SPAN, lambda t: by_token(t)[:, :-1]),
        (SPAN, lambda t: by_token(t)[..., :3]),
        (SPAN, lambda t: by_token(t) * np.inf),
        (EMBED, lambda t: by_text(4)(t)[:, :3]),
        (EMBED, lambda t: by_text(4)(t) * np.nan),
    ],
)
def test_unusable_outputs_are_an_error(make, changes, spoiled):
    with np.errstate(all="ignore"):
        (answer,) = ask(make(spoiled, **changes), {"text": column(["w1 w2"])})
    assert isinstance(answer, RuntimeError)
    assert "the engine gave no usable" in str(answer)


def test_padding_may_hold_anything(make):
    """A place behind a row's end is not its answer, so what an engine leaves there does not matter."""

    def engine(tensors):
        return np.where(tensors["attention_mask"][..., None] == 1, by_token(tensors), np.nan)

    texts = {"text": column(["w1 w2 w3 w4 w5", "w1"])}
    (answer,) = ask(make(engine, **SPAN, max_padding_share=1.0), texts)
    (right,) = ask(make(by_token, **SPAN, max_padding_share=1.0), texts)
    np.testing.assert_array_equal(answer["scores"], right["scores"])


def test_an_answer_that_cannot_be_made_is_an_error(make):
    """Settings that do not fit the engine, say; the caller does not wait for ever."""
    model = make(by_text(3), **{**ZERO, "entailment_id": 5})
    (answer,) = ask(model, {"text": column(["w1"]), "candidate_labels": table([["w2", "w3"]], width=2)})
    assert isinstance(answer, IndexError)
