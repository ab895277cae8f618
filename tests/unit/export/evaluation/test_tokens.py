"""How texts become tokens: which of two is cut, and that a hypothesis stays whole."""

import pytest
from evaluations import WORDS, entry
from tiny_text import tokenizer

from luxe.errors import UserError
from luxe_export.evaluation import tokenize


def ids(model, rows):
    words = tokenizer(WORDS)
    return [words.convert_ids_to_tokens(row["input_ids"]) for row in tokenize(model, words, rows)]


def test_a_text_is_cut_at_its_end():
    (row,) = ids(entry(max_length=8), [" ".join(WORDS)])
    assert row == ["[CLS]", *WORDS[:6], "[SEP]"]


def test_of_two_texts_the_longer_is_cut():
    (row,) = ids(entry(max_length=8, text_pairs=True), [("a", " ".join(WORDS))])
    assert row == ["[CLS]", "a", "[SEP]", *WORDS[:4], "[SEP]"]


def test_of_zero_shot_the_hypothesis_stays_whole():
    (row,) = ids(entry("zero-shot-classification", max_length=8), [("a b", "this is a .")])
    assert row == ["[CLS]", "a", "[SEP]", "this", "is", "a", ".", "[SEP]"]


def test_a_hypothesis_that_leaves_no_room_is_named():
    fits = {"labels": ("a", "b c"), "hypothesis_template": "this is {}", "max_length": 8}
    ids(entry("zero-shot-classification", **fits), [("a", "this is b c")])
    model = entry("zero-shot-classification", **{**fits, "labels": ("a", "b c c", "b")})
    said = "catalog/tiny.toml: the label 'b c c' with hypothesis_template leaves no room for a text within 8 tokens"
    with pytest.raises(UserError, match=said):
        ids(model, [("a", "this is a"), ("a", "this is b c c"), ("a", "this is b")])
