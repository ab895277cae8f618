"""transformers' own pipelines are the oracles."""

import dataclasses
import types
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from text_models import SETTINGS
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast
from transformers.pipelines import TokenClassificationPipeline, ZeroShotClassificationPipeline
from transformers.pipelines.token_classification import AggregationStrategy

from luxe_serving.text import answers
from luxe_serving.text.words import Words

STRATEGIES = ("simple", "first", "average", "max")
TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "MISC", "I-my-tag")


def facts(**changes):
    return dataclasses.replace(SETTINGS, **changes)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (facts(), "softmax"),
        (facts(problem_type="multi_label_classification"), "sigmoid"),
        (facts(problem_type="regression"), "identity"),
        (facts(task="token-classification"), "softmax"),
        (facts(task="feature-extraction"), "identity"),
        (facts(task="zero-shot-classification"), "identity"),
        (facts(task="text-ranking"), "sigmoid"),
        (facts(task="text-ranking", ranking_activation="identity"), "identity"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value.task}",
)
@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 5, 3)])
def test_activate(model, expected, shape):
    raw = np.random.default_rng(1).normal(scale=4.0, size=shape)
    tensor = torch.tensor(raw)
    right = {"softmax": tensor.softmax(-1), "sigmoid": tensor.sigmoid(), "identity": tensor}[expected]
    found = answers.activate(model, raw.astype(np.float32))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, right.numpy(), rtol=1e-5)


def test_no_logit_is_too_large():
    raw = np.array([[-1e4, -30.0, 0.0, 30.0, 1e4]], dtype=np.float32)
    assert answers.activate(facts(), raw).tolist() == [[0.0, 0.0, 0.0, 0.0, 1.0]]
    several = answers.activate(facts(problem_type="multi_label_classification"), raw)
    np.testing.assert_allclose(several, [[0.0, 9.357623e-14, 0.5, 1.0, 1.0]], rtol=1e-5)


def test_needs_review():
    scores = np.array([[0.5, 0.3, 0.2], [0.7, 0.2, 0.1]], dtype=np.float32)
    assert answers.needs_review("single_label_classification", scores, 0.6).tolist() == [[True], [False]]
    several = np.array([[0.9, 0.1, 0.95], [0.9, 0.3, 0.95], [0.9, 0.7, 0.0]], dtype=np.float32)
    assert answers.needs_review("multi_label_classification", several, 0.8).tolist() == [[False], [True], [True]]
    assert answers.needs_review("regression", several, 1.0).tolist() == [[False], [False], [False]]


def pipeline(kind, **model_config):
    """A pipeline without a model: what is called of it does not run one."""
    made = object.__new__(kind)
    made.framework = "pt"
    made.model = types.SimpleNamespace(config=types.SimpleNamespace(**model_config))
    return made


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    candidates=st.integers(1, 6),
    multi_label=st.booleans(),
    entailment_id=st.sampled_from([0, 1, 2]),
)
def test_zero_shot_is_the_pipelines(seed, candidates, multi_label, entailment_id):
    logits = np.random.default_rng(seed).normal(scale=3.0, size=(candidates, 3)).astype(np.float32)
    names = [f"c{i}" for i in range(candidates)]
    oracle = pipeline(ZeroShotClassificationPipeline, label2id={"Entailment": entailment_id})
    rows = [
        {"candidate_label": name, "sequence": "a text", "logits": torch.tensor(row[None])}
        for name, row in zip(names, logits, strict=True)
    ]
    answer = oracle.postprocess(rows, multi_label=multi_label)
    right = dict(zip(answer["labels"], answer["scores"], strict=True))
    # What the pipeline guesses the contradiction to be.
    contradiction_id = 2 if entailment_id == 0 else 0
    found = answers.zero_shot(
        logits, entailment_id=entailment_id, contradiction_id=contradiction_id, multi_label=multi_label
    )
    assert found.dtype == np.float32
    assert found.shape == (candidates,)
    np.testing.assert_allclose(found, [right[name] for name in names], rtol=1e-4)


def test_zero_shot_takes_the_contradiction_that_it_is_told():
    logits = np.array([[0.0, 5.0, 1.0]], dtype=np.float32)
    found = answers.zero_shot(logits, entailment_id=2, contradiction_id=1, multi_label=True)
    assert found.tolist() == [pytest.approx(1 / (1 + np.exp(4.0)))]


def wordpiece():
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    pieces = [*"abcdeé.,-", *(f"##{c}" for c in "abcde"), "bad", "##cab", "ab"]
    made = Tokenizer(models.WordPiece({w: i for i, w in enumerate([*special, *pieces])}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="[UNK]", pad_token="[PAD]")


def byte_level():
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("a", "b"), ("Ġ", "b"), ("c", "d")]
    vocabulary = {w: i for i, w in enumerate([*special, *letters, *("".join(m) for m in merges)])}
    made = Tokenizer(models.BPE(vocabulary, merges))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>", pad_token="<pad>")


def unigram():
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁", *"abcde.,-", "▁ab", "▁b", "cd"]
    made = Tokenizer(models.Unigram([(piece, -float(i)) for i, piece in enumerate(pieces)], unk_id=3))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>", pad_token="<pad>")


TOKENIZERS = {make.__name__: make() for make in (wordpiece, byte_level, unigram)}
TEXTS = st.text(alphabet="abcdeABé☃🚀., -", min_size=1, max_size=30).filter(lambda text: text.strip())


def of_pipeline(tokenizer, text, logits, strategy):
    """Entities as (label, score, start, end), by transformers alone."""
    oracle = pipeline(TokenClassificationPipeline, id2label=dict(enumerate(TAGS)))
    oracle.tokenizer = tokenizer
    encoded = tokenizer(text, return_special_tokens_mask=True, return_offsets_mapping=True, return_tensors="pt")
    outputs = {
        "logits": torch.tensor(logits[None]),
        "sentence": text,
        "input_ids": encoded["input_ids"],
        "offset_mapping": encoded["offset_mapping"],
        "special_tokens_mask": encoded["special_tokens_mask"],
    }
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Tokenizer does not support real words")
        found = oracle.postprocess([outputs], aggregation_strategy=AggregationStrategy(strategy))
    return [(e["entity_group"], pytest.approx(e["score"], rel=1e-4), e["start"], e["end"]) for e in found]


def of_luxe(tokenizer, text, logits, strategy):
    encoding = tokenizer(text)[0]
    found = answers.entities(
        answers.activate(facts(task="token-classification"), logits),
        encoding.offsets,
        encoding.special_tokens_mask,
        Words(tokenizer.backend_tokenizer)(encoding, text),
        text,
        TAGS,
        strategy,
    )
    return [dataclasses.astuple(e) for e in found]


@settings(max_examples=50, deadline=None)
@given(text=TEXTS, seed=st.integers(0, 10_000), scale=st.sampled_from([0.5, 3.0]))
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", TOKENIZERS)
def test_entities_are_the_pipelines(name, strategy, text, seed, scale):
    tokenizer = TOKENIZERS[name]
    size = (len(tokenizer(text)["input_ids"]), len(TAGS))
    logits = np.random.default_rng(seed).normal(scale=scale, size=size).astype(np.float32)
    right = of_pipeline(tokenizer, text, logits, strategy)
    if name != "wordpiece":  # luxe leaves out a space before a word, which other tokenizers may count to it
        bare = [len(text[start:end].lstrip()) for *_, start, end in right]
        right = [(*e[:2], e[3] - size if size else e[2], e[3]) for e, size in zip(right, bare, strict=True)]
    assert of_luxe(tokenizer, text, logits, strategy) == right


@pytest.mark.parametrize("name", TOKENIZERS)
def test_the_strategies_differ(name):
    """Else the comparison above would not tell them apart."""
    tokenizer, text = TOKENIZERS[name], "abcde cd. bad"
    size = (len(tokenizer(text)["input_ids"]), len(TAGS))
    logits = np.random.default_rng(3).normal(scale=3.0, size=size).astype(np.float32)
    found = [of_luxe(tokenizer, text, logits, strategy) for strategy in STRATEGIES]
    assert all(found[i] != found[j] for i in range(4) for j in range(i))


def by_hand(text, tags, strategy="simple"):
    """Entities of a text whose words have these tags, each surely."""
    words = text.split()
    ends = np.cumsum([len(word) + 1 for word in words]) - 1
    offsets = [(int(end) - len(word), int(end)) for word, end in zip(words, ends, strict=True)]
    scores = np.eye(len(TAGS), dtype=np.float32)[[TAGS.index(tag) for tag in tags]]
    found = answers.entities(scores, offsets, [0] * len(words), list(range(len(words))), text, TAGS, strategy)
    return [(e.label, text[e.start : e.end]) for e in found]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("O O O O", []),
        ("B-PER I-PER O B-LOC", [("PER", "ada de"), ("LOC", "oslo")]),
        ("B-PER B-PER I-PER O", [("PER", "ada"), ("PER", "de rio")]),
        ("I-PER I-PER I-LOC O", [("PER", "ada de"), ("LOC", "rio")]),
        ("MISC MISC O MISC", [("MISC", "ada de"), ("MISC", "oslo")]),
        ("I-my-tag O O O", [("my-tag", "ada")]),
    ],
)
def test_entities_by_hand(tags, expected):
    assert by_hand("ada de rio oslo", tags.split()) == expected


def test_a_text_of_special_tokens_has_no_entities():
    scores = np.ones((2, len(TAGS)), dtype=np.float32)
    for strategy in STRATEGIES:
        assert answers.entities(scores, [(0, 0)] * 2, [1, 1], [None, None], "", TAGS, strategy) == []


def test_an_entity_does_not_begin_with_a_space():
    scores = np.eye(len(TAGS), dtype=np.float32)[[0, 1]]
    (entity,) = answers.entities(scores, [(0, 2), (2, 7)], [0, 0], [0, 1], "in Oslo", TAGS, "simple")
    assert (entity.label, entity.score, entity.start, entity.end) == ("PER", 1.0, 3, 7)
