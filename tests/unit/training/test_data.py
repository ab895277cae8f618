import collections
import hashlib
import json
import re
import unicodedata

import pytest
from checkout import ROOT

from luxe import catalog
from luxe.errors import UserError
from luxe.project import Project
from luxe_training import data

# Read at collection, so that every model of the catalogue gets its own tests.
PROJECT = Project.open(ROOT)
ENTRIES = catalog.load_all(PROJECT)
LEAST = {"train": 120, "validation": 1, "test": 40}


@pytest.fixture(scope="module", params=ENTRIES, ids=lambda entry: entry.name)
def model(request):
    return request.param


@pytest.fixture(scope="module")
def splits(model):
    return {split: data.load(PROJECT.data(model.name), split, model.labels) for split in data.SPLITS}


def test_every_label_has_enough_texts(model, splits):
    for split, least in LEAST.items():
        counts = collections.Counter(splits[split].labels)
        short = {name: counts[i] for i, name in enumerate(model.labels) if counts[i] < least}
        assert short == {}, split


def test_no_text_comes_twice_in_a_split(splits):
    for name, split in splits.items():
        twice = [text for text, count in collections.Counter(split.texts).items() if count > 1]
        assert twice == [], name


@pytest.mark.parametrize(("split", "others"), [("test", ["train", "validation"]), ("validation", ["train"])])
def test_no_text_is_known_from_another_split(splits, split, others):
    known = [text for other in others for text in splits[other].texts]
    assert list(data.near_duplicates(splits[split].texts, known)) == []


@pytest.mark.parametrize(
    "disguise",
    [
        lambda text: text,
        str.upper,
        lambda text: f"  {text.replace(' ', '   ')}\n",
        lambda text: f"{text}!!",
        lambda text: f"omg {text}",
    ],
    ids=["same", "upper case", "spaces", "marks", "a word more"],
)
def test_a_planted_duplicate_is_found(splits, disguise):
    original = max(splits["train"].texts[:100], key=len)
    planted = disguise(original)
    found = list(data.near_duplicates([*splits["test"].texts[:20], planted], splits["train"].texts))
    assert [(text, other) for _, text, other in found] == [(planted, original)]


def word_shape(text):
    """A text without what a template would vary: digits, emoji, marks, @handles, #tags and case."""
    text = unicodedata.normalize("NFKC", text).casefold()
    text = re.sub(r"[@#]\w[\w.]*", " ", text)
    text = re.sub(r"\d+", "0", text)
    text = re.sub(r"['’]", "", text)
    return " ".join("".join(c if c.isalnum() else " " for c in text).split())


def template_twins(texts_by_label):
    """Groups of different texts of one label with one word shape; texts without words have none."""
    groups = collections.defaultdict(set)
    for label, text in texts_by_label:
        if any(c.isalpha() for c in word_shape(text)):
            groups[label, word_shape(text)].add(text)
    return [sorted(group) for group in groups.values() if len(group) > 1]


def test_no_template_twins(splits):
    split = splits["train"]
    assert template_twins(zip(split.labels, split.texts, strict=True)) == []


def test_template_twins_are_found():
    twins = ["@ana your order #1234 🔥", "@bob your order #99 😍!!", "Your order"]
    assert template_twins([(0, text) for text in twins]) == [sorted(twins)]
    assert template_twins([(0, "size 36 please"), (0, "Size 40, please 🙏")]) != []
    assert template_twins([(0, "size 36"), (1, "size 40")]) == []
    assert template_twins([(0, "🔥"), (0, "😍"), (0, "@ana"), (0, "@bob")]) == []


LABELS = ("red", "green")


def write(folder, *lines):
    raw = b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
    (folder / "train.jsonl").write_bytes(raw + b"\n")
    return raw + b"\n"


def test_load(tmp_path):
    raw = write(tmp_path, {"text": "a 😀\nb", "label": "green"}, {"text": "c", "label": "red", "more": 1})
    split = data.load(tmp_path, "train", LABELS)
    assert split.texts == ("a 😀\nb", "c")
    assert split.labels == (1, 0)
    assert split.sha256 == hashlib.sha256(raw).hexdigest()
    assert len(split) == 2


GOOD = {"text": "a", "label": "red"}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "text"),
        (b"", "text"),
        (b"null", "text"),
        (b'["text", "label"]', "text"),
        (b'{"text": "caf\xe9", "label": "red"}', "text"),
        ({"label": "red"}, "text"),
        ({"text": "a"}, "label"),
        (b"[" * 100_000, "nested too deeply"),
        ({"text": "", "label": "red"}, '"text" is empty'),
        ({"text": " \n", "label": "red"}, '"text" is empty'),
        ({"text": 3, "label": "red"}, "no text"),
        ({"text": "a \ud83d", "label": "red"}, "holds \\ud83d, half of a character"),
        ({"text": "a", "label": "pink"}, "'pink' is not one of the catalogue's red, green"),
        ({"text": "a", "label": "Red"}, "'Red' is not one of the catalogue's red, green"),
        ({"text": "a", "label": None}, "not one of the catalogue's red, green"),
        ({"text": "a", "label": ["red"]}, "not one of the catalogue's red, green"),
    ],
)
def test_an_unusable_line(tmp_path, line, reason):
    write(tmp_path, GOOD, GOOD, line, GOOD)
    with pytest.raises(UserError) as caught:
        data.load(tmp_path, "train", LABELS)
    assert f"{tmp_path.name}/train.jsonl line 3: " in str(caught.value)
    assert reason in str(caught.value)


def test_no_file(tmp_path):
    with pytest.raises(UserError) as caught:
        data.load(tmp_path, "test", LABELS)
    assert str(tmp_path / "test.jsonl") in str(caught.value)


def test_an_empty_file(tmp_path):
    (tmp_path / "train.jsonl").write_bytes(b"")
    with pytest.raises(UserError, match=r"train\.jsonl is empty"):
        data.load(tmp_path, "train", LABELS)


def similarity(text, other, **options):
    return next(iter(data.near_duplicates([text], [other], threshold=0.0, **options)))[0]


def test_similarity():
    assert similarity("Same  TEXT", "same text") == 1.0
    assert similarity("abc", "xyz") == 0.0
    # " ab " and " abc " have the 3-grams { ab, ab_} and { ab, abc, bc_}: one in common of four.
    assert similarity("ab", "abc", n=3) == pytest.approx(0.25)
    assert similarity("ab", "abc", n=3) == similarity("abc", "ab", n=3)
    assert similarity("a", "a", n=8) == 1.0


def test_the_threshold():
    pair = ["where can I buy these boots"], ["where can I buy those boots"]
    (found,) = data.near_duplicates(*pair, threshold=0.0)
    assert 0.5 < found[0] < 1
    assert list(data.near_duplicates(*pair, threshold=found[0])) == [found]
    assert list(data.near_duplicates(*pair, threshold=found[0] + 1e-9)) == []
