import itertools
import json
import math
import tracemalloc
import types

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import f1_score, ndcg_score
from tiny_text import tokenizer

from luxe.errors import UserError
from luxe.schema import Entry
from luxe_export.evaluation import calibration_rows, load, tokenize
from luxe_export.gate import bootstrap

SLO = {"requests_per_s": 1.0, "p50_ms": 1.0, "p95_ms": 1.0, "p99_ms": 1.0, "max_error_share": 0.0}
WORDS = ["anna", "lives", "in", "paris", "new", "york", "with", "this", "is", "a", "b", "c", "."]
ENTITY_CLASSES = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


def entry(task="text-classification", **keys):
    if "labels" not in keys and task in ("text-classification", "zero-shot-classification"):
        keys["labels"] = ("a", "b", "c")
    return Entry(name="tiny", description="", task=task, max_length=keys.pop("max_length", 16), slo=SLO, **keys)


def source(**keys):
    facts = {"entailment_id": 2, "contradiction_id": 0, "ranking_activation": "sigmoid"}
    return types.SimpleNamespace(tokenizer=tokenizer(WORDS), **{**facts, **keys})


def evaluation(folder, model, rows, **hints):
    (folder / "test.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return load(model, folder, source(**hints))


def probabilities(*rows):
    return [np.array(row, dtype=np.float32) for row in rows]


def samples(units, seed=0):
    return np.random.default_rng(seed).integers(units, size=(20, units))


# --- one label -------------------------------------------------------------------------------------------------------


@pytest.fixture
def single(tmp_path):
    rows = [{"text": f"text {i}", "label": "abc"[i % 3]} for i in range(60)]
    return evaluation(tmp_path, entry(), rows)


@pytest.fixture
def guesses():
    return list(np.random.default_rng(1).dirichlet([1, 1, 1], size=60).astype(np.float32))


def test_macro_f1_is_scikit_learns(single, guesses):
    right, given = np.arange(60) % 3, np.stack(guesses).argmax(axis=1)
    assert single.metric == "macro-F1"
    assert single.score(guesses) == pytest.approx(f1_score(right, given, average="macro"))
    for units in samples(60):
        assert single.score(guesses, units) == pytest.approx(f1_score(right[units], given[units], average="macro"))


def test_the_calibration_error_is_the_mean_gap_of_ten_bins(single, guesses):
    claims = sorted((float(p.max()), p.argmax() == i % 3) for i, p in enumerate(guesses))
    gaps = [abs(sum(c - right for c, right in claims[i : i + 6])) for i in range(0, 60, 6)]
    assert single.calibration_error(guesses) == pytest.approx(sum(gaps) / 60)
    assert sum(b.count for b in single.reliability(guesses)) == 60


def test_one_label_agreement_change_and_confusion(tmp_path):
    own = evaluation(tmp_path, entry(), [{"text": "x", "label": "a"}, {"text": "y", "label": "b"}])
    before = probabilities([0.6, 0.3, 0.1], [0.1, 0.8, 0.1])
    after = probabilities([0.4, 0.5, 0.1], [0.1, 0.7, 0.2])
    assert own.agreement(before, after).tolist() == [0, 1]
    assert own.change(before, after) == pytest.approx([0.2, 0.1])
    assert own.confusion(after).tolist() == [[0, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert own.describe(after, 0) == "b 0.500"
    assert own.truth(0) == "a"


def test_pairs_of_texts(tmp_path):
    rows = [{"text": "x", "text_pair": "y", "label": "a"}, {"text": "x", "text_pair": "z", "label": "b"}]
    assert evaluation(tmp_path, entry(text_pairs=True), rows).rows == [("x", "y"), ("x", "z")]


# --- several labels --------------------------------------------------------------------------------------------------


def multi_label(folder, *labels):
    model = entry(problem_type="multi_label_classification")
    return evaluation(folder, model, [{"text": "x", "labels": list(own)} for own in labels])


def test_several_labels_macro_f1_is_scikit_learns(tmp_path):
    chance = np.random.default_rng(2)
    right = chance.random((50, 3)) < 0.4
    own = multi_label(tmp_path, *([label for label, y in zip("abc", row, strict=True) if y] for row in right))
    given = chance.random((50, 3)).astype(np.float32)
    for units in [np.arange(50), *samples(50)]:
        expected = f1_score(right[units], given[units] >= 0.5, average="macro")
        assert own.score(list(given), units) == pytest.approx(expected)


def test_a_label_without_positives_does_not_count(tmp_path):
    own = multi_label(tmp_path, "a", "b", "ab")
    good = probabilities([0.9, 0.1, 0.1], [0.1, 0.9, 0.1], [0.9, 0.9, 0.1])
    alarm = probabilities([0.9, 0.1, 0.1], [0.1, 0.9, 0.1], [0.9, 0.9, 0.6])
    assert own.score(good) == own.score(alarm) == 1
    assert own.agreement(good, alarm).tolist() == [1, 1, 0]
    assert own.change(good, alarm) == pytest.approx([0, 0, 0.5])
    assert own.describe(alarm, 2) == "a 0.900, b 0.900, c 0.600"


def test_several_labels_calibration_counts_yes_and_no(tmp_path):
    own = multi_label(tmp_path, "a", "a")
    assert own.calibration_error(probabilities([1, 0, 0], [1, 0, 0])) == 0
    assert own.calibration_error(probabilities([0, 1, 1], [0, 1, 1])) == 1


# --- numbers ---------------------------------------------------------------------------------------------------------


def test_regression_is_spearman_with_ties(tmp_path):
    chance = np.random.default_rng(3)
    right = chance.integers(5, size=(40, 2)).astype(float)
    model = entry(problem_type="regression", labels=("x", "y"))
    own = evaluation(tmp_path, model, [{"text": "t", "label": row.tolist()} for row in right])
    given = (right + chance.normal(size=(40, 2)).round()).astype(np.float32)
    for units in [np.arange(40), *samples(40)]:
        expected = np.mean([spearmanr(right[units, i], given[units, i]).statistic for i in range(2)])
        assert own.score(list(given), units) == pytest.approx(expected)
    assert own.calibration_error(list(given)) is None


def test_regression_changes_in_standard_deviations_of_the_reference(tmp_path):
    model = entry(problem_type="regression", labels=("x",))
    own = evaluation(tmp_path, model, [{"text": "t", "label": i} for i in range(4)])
    before = probabilities([0], [10], [0], [10])  # standard deviation 5
    after = probabilities([0], [11], [0], [10.4])
    assert own.change(before, after) == pytest.approx([0, 0.2, 0, 0.08])
    assert own.agreement(before, after).tolist() == [1, 0, 1, 1]
    other = probabilities([0], [100], [0], [100])
    assert own.change(before, after, other) == pytest.approx([0, 0.02, 0, 0.008])


def test_what_always_says_the_same_has_no_rank_correlation(tmp_path):
    model = entry(problem_type="regression", labels=("x",))
    own = evaluation(tmp_path, model, [{"text": "t", "label": i} for i in range(4)])
    assert math.isnan(own.score(probabilities([1], [1], [1], [1])))
    assert own.change(probabilities([1], [1], [1], [1]), probabilities([1], [2], [1], [1])).tolist() == [
        0,
        math.inf,
        0,
        0,
    ]


# --- embeddings ------------------------------------------------------------------------------------------------------


def embeddings(folder, *pairs):
    rows = [{"text": a, "text_pair": b, "score": score} for a, b, score in pairs]
    return evaluation(folder, entry("feature-extraction"), rows)


def test_embeddings_are_judged_by_their_cosines(tmp_path):
    chance = np.random.default_rng(4)
    scores = chance.random(30)
    own = embeddings(tmp_path, *((f"left {i}", f"right {i}", float(s)) for i, s in enumerate(scores)))
    assert own.rows[:3] == ["left 0", "right 0", "left 1"]
    given = chance.normal(size=(60, 5)).astype(np.float32)
    cosines = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(given[::2], given[1::2], strict=True)]
    assert own.score(list(given)) == pytest.approx(spearmanr(cosines, scores).statistic)
    for units in samples(30):
        expected = spearmanr(np.array(cosines)[units], scores[units]).statistic
        assert own.score(list(given), units) == pytest.approx(expected)


def test_a_long_text_does_not_cost_memory_in_every_row(tmp_path):
    rows = [{"text": f"{i}", "text_pair": "x", "score": i} for i in range(200)]
    rows[0]["text"] = "x" * 50_000
    (tmp_path / "test.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    tracemalloc.start()
    try:
        load(entry("feature-extraction"), tmp_path, source())
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


def turned(*degrees):
    return [np.array([math.cos(math.radians(d)), math.sin(math.radians(d))], dtype=np.float32) for d in degrees]


def test_embeddings_agree_on_the_nearest_neighbour(tmp_path):
    own = embeddings(tmp_path, ("a", "b", 1), ("c", "d", 0))
    before = turned(0, 20, 50, 90)
    assert own.agreement(before, turned(1, 21, 51, 91)).tolist() == [1, 1]
    # "b" now is nearer to "c" than to "a".
    assert own.agreement(before, turned(0, 27, 50, 90)).tolist() == [0.5, 1]


def test_neighbours_that_are_equally_near_are_equally_good(tmp_path):
    own = embeddings(tmp_path, ("a", "b", 1), ("c", "d", 0))
    assert own.agreement(turned(0, 30.1, 60, 170), turned(0, 29.9, 60, 170)).tolist() == [1, 1]


def test_a_text_that_comes_twice_is_not_its_own_neighbour(tmp_path):
    own = embeddings(tmp_path, ("a", "b", 1), ("a", "d", 0))
    assert own.agreement(turned(0, 10, 0, 50), turned(0, 50, 0, 10)).min() == 0


def test_a_change_of_an_embedding_is_relative_to_its_length(tmp_path):
    own = embeddings(tmp_path, ("a", "b", 1), ("c", "d", 0))
    before, after = probabilities([3, 4], [0, 1], [1, 0], [1, 0]), probabilities([3, 5], [0, 1], [0, 1], [1, 0])
    assert own.change(before, after) == pytest.approx([0.2, 0, math.sqrt(2), 0])


# --- entities --------------------------------------------------------------------------------------------------------


@pytest.fixture
def people(tmp_path):
    rows = [
        {
            "text": "Anna lives in New York.",
            "entities": [{"start": 0, "end": 4, "label": "PER"}, {"start": 14, "end": 22, "label": "LOC"}],
        },
        {"text": "This is Paris", "entities": [{"start": 8, "end": 13, "label": "LOC"}]},
    ]
    return evaluation(tmp_path, entry("token-classification", labels=ENTITY_CLASSES), rows)


def tags(*names, sure=0.9):
    """Probabilities [T, 5] of a text, with a token before and one after that are none of it."""
    rows = np.full((len(names) + 2, 5), (1 - sure) / 4, dtype=np.float32)
    for i, name in enumerate(["O", *names, "O"]):
        rows[i, ENTITY_CLASSES.index(name)] = sure
    return rows


RIGHT = (("B-PER", "O", "O", "B-LOC", "I-LOC", "O"), ("O", "O", "B-LOC"))


def test_entities_that_are_right(people):
    assert people.score([tags(*names) for names in RIGHT]) == 1
    assert people.describe([tags(*names) for names in RIGHT], 0) == "PER 'Anna' 0.900, LOC 'New York' 0.900"
    assert people.truth(1) == "LOC 'Paris'"


def test_entities_need_the_exact_span_and_the_label(people):
    cut = [tags("B-PER", "O", "O", "O", "B-LOC", "O"), tags(*RIGHT[1])]  # York, not New York
    renamed = [tags("B-LOC", "O", "O", "B-LOC", "I-LOC", "O"), tags(*RIGHT[1])]
    for given in (cut, renamed):
        assert people.score(given) == pytest.approx(2 / 3)
        assert people.agreement([tags(*names) for names in RIGHT], given).tolist() == [0.5, 1]


def test_entity_f1_counts_all_texts_together(people):
    missed = [tags(*RIGHT[0]), tags("O", "O", "O")]
    assert people.score(missed) == pytest.approx(2 * 2 / (3 + 2))
    assert people.score(missed, np.array([0, 0, 1, 1])) == pytest.approx(2 * 4 / (6 + 4))


def test_a_change_of_any_token_counts(people):
    before = [tags(*names) for names in RIGHT]
    after = [before[0], tags(*RIGHT[1], sure=0.7)]
    assert people.change(before, after) == pytest.approx([0, 0.2])


def test_entities_are_calibrated_by_their_scores(people):
    assert people.calibration_error([tags(*names) for names in RIGHT]) == pytest.approx(0.1)
    assert people.calibration_error([tags(*["O"] * 6), tags(*["O"] * 3)]) == 0


# --- zero-shot and ranking -------------------------------------------------------------------------------------------


@pytest.fixture
def zero_shot(tmp_path):
    model = entry("zero-shot-classification", hypothesis_template="This is {}.")
    return evaluation(tmp_path, model, [{"text": "x", "label": "a"}, {"text": "y", "label": "c"}])


def test_zero_shot_asks_for_every_label(zero_shot):
    assert zero_shot.units == 2
    assert zero_shot.rows[:4] == [("x", "This is a."), ("x", "This is b."), ("x", "This is c."), ("y", "This is a.")]


def test_zero_shot_compares_entailments(zero_shot):
    logits = probabilities([0, 0, 3], [9, 0, 1], [9, 0, 0], [0, 0, 1], [0, 0, 2], [0, 0, 1])
    assert zero_shot.score(logits) == pytest.approx(0.5)  # "a" found, "c" missed
    expected = np.exp([3, 1, 0]) / np.exp([3, 1, 0]).sum()
    assert zero_shot.probabilities(logits)[0] == pytest.approx(expected)
    other = [*logits[:3], *probabilities([0, 0, 1], [0, 0, 1], [0, 0, 2])]
    assert zero_shot.agreement(logits, other).tolist() == [1, 0]
    change = zero_shot.change(logits, other)
    assert change.shape == (6,)
    assert (change[:4] < 1e-7).all()
    assert change[4] == change[5] > 0.3
    assert zero_shot.describe(logits, 4).startswith("b 0.")


def ranking(folder, *rows, **hints):
    lines = [{"query": query, "document": document, "label": label} for query, document, label in rows]
    return evaluation(folder, entry("text-ranking"), lines, **hints)


def test_ranking_is_ndcg_of_every_query(tmp_path):
    chance = np.random.default_rng(5)
    queries = [0] * 14 + [1] * 3 + [2] * 5
    gains = np.array([*chance.integers(4, size=14), 2, 0, 1, 0, 0, 1, 0, 3]).astype(float)
    own = ranking(
        tmp_path, *((f"q{q}", f"d{i}", float(g)) for i, (q, g) in enumerate(zip(queries, gains, strict=True)))
    )
    given = (chance.integers(6, size=22) / 6).astype(np.float32)  # some are equal
    own_of = {q: np.array([i for i, x in enumerate(queries) if x == q]) for q in range(3)}
    expected = [ndcg_score([gains[own_of[q]]], [given[own_of[q]]], k=10) for q in range(3)]
    outputs = [np.array([x]) for x in given]
    assert own.units == 3
    assert own.score(outputs) == pytest.approx(np.mean(expected))
    assert own.score(outputs, np.array([0, 0, 2])) == pytest.approx((2 * expected[0] + expected[2]) / 3)


def test_a_query_without_a_better_document_has_no_ndcg(tmp_path):
    own = ranking(tmp_path, ("q", "d", 1), ("q", "e", 0), ("p", "d", 1), ("o", "d", 0), ("o", "e", 0))
    given = probabilities([0.9], [0.1], [0.5], [0.5], [0.4])
    assert own.score(given) == 1
    assert math.isnan(own.score(given, np.array([1, 2])))


def test_ranking_agrees_on_the_first_document(tmp_path):
    own = ranking(tmp_path, ("q", "d", 1), ("q", "e", 0), ("p", "d", 1), ("p", "e", 0))
    before = probabilities([0.9], [0.1], [0.995], [0.99])
    assert own.agreement(before, probabilities([0.1], [0.9], [0.99], [0.995])).tolist() == [0, 1]
    assert own.change(before, probabilities([0.8], [0.1], [0.9], [0.99])) == pytest.approx([0.1, 0, 0.095, 0])


def test_ranking_without_probabilities_changes_in_standard_deviations(tmp_path):
    rows = (("q", "d", 1), ("q", "e", 0))
    own = ranking(tmp_path, *rows, ranking_activation="identity")
    assert own.change(probabilities([0], [10]), probabilities([0], [11])) == pytest.approx([0, 0.2])
    assert ranking(tmp_path, *rows).change(probabilities([0], [10]), probabilities([0], [11])) == pytest.approx([0, 1])


# --- the bootstrap ---------------------------------------------------------------------------------------------------


def test_the_interval_is_that_of_samples_drawn_one_by_one(single, guesses):
    low, high = bootstrap.interval(bootstrap.resampled(single, guesses))
    chance = np.random.default_rng(7)
    slow = [single.score(guesses, chance.integers(60, size=60)) for _ in range(1000)]
    assert (low, high) == pytest.approx(np.percentile(slow, [2.5, 97.5]), abs=0.02)
    assert low < single.score(guesses) < high


def test_the_samples_are_always_the_same(single, guesses):
    assert (bootstrap.resampled(single, guesses) == bootstrap.resampled(single, guesses)).all()


def test_a_paired_difference_is_surer_than_two_intervals(single, guesses):
    other = [*guesses[:-1], guesses[-1][::-1].copy()]
    a, b = bootstrap.resampled(single, guesses), bootstrap.resampled(single, other)
    low, high = bootstrap.interval(a - b)
    assert high - low < 0.3 * np.subtract(*bootstrap.interval(a)[::-1])


def test_many_units_are_drawn_in_parts(single, guesses, monkeypatch):
    whole = bootstrap.resampled(single, guesses)
    monkeypatch.setattr(bootstrap, "_CELLS", 60 * 7)
    parts = bootstrap.resampled(single, guesses)
    assert parts.shape == whole.shape == (1000,)
    assert (parts == whole).all()


# --- rows that are not usable ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "row", "said"),
    [
        (entry(), {"text": "x"}, "KeyError('label')"),
        (entry(), {"text": " ", "label": "a"}, '"text" is empty'),
        (entry(), {"text": "x \ud83d", "label": "a"}, "holds \\ud83d, half of a character"),
        (entry("text-ranking"), {"query": "x", "document": "\udc00", "label": 1}, '"document" holds \\udc00'),
        (entry(), {"text": "x", "label": "d"}, "'d' is not one of the catalogue's a, b, c"),
        (entry(text_pairs=True), {"text": "x", "label": "a"}, "text_pair"),
        (entry(problem_type="multi_label_classification"), {"text": "x", "labels": "a"}, "list of names"),
        (entry(problem_type="multi_label_classification"), {"text": "x", "labels": ["z"]}, "a, b, c"),
        (entry(problem_type="regression", labels=("x",)), {"text": "x", "label": "1"}, "must be a number"),
        (entry(problem_type="regression", labels=("x",)), {"text": "x", "label": True}, "must be a number"),
        (entry(problem_type="regression", labels=("x",)), {"text": "x", "label": 10**400}, "must be a number"),
        (entry(problem_type="regression", labels=("x",)), {"text": "x", "label": [1, 2]}, "1 number"),
        (entry("feature-extraction"), {"text": "x", "text_pair": "y", "score": math.nan}, "must be a number"),
        (entry("text-ranking"), {"query": "x", "document": "y", "label": -1}, "0 or more"),
        (
            entry("token-classification", labels=ENTITY_CLASSES),
            {"text": "x", "entities": [{"start": 0, "end": 2, "label": "PER"}]},
            "1 characters, not 0:2",
        ),
        (
            entry("token-classification", labels=ENTITY_CLASSES),
            {"text": "x", "entities": [{"start": 0, "end": 1, "label": "B-PER"}]},
            "PER, LOC",
        ),
    ],
)
def test_a_bad_line_is_named(tmp_path, model, row, said):
    with pytest.raises(UserError) as refused:
        evaluation(tmp_path, model, [row])
    assert said in str(refused.value)
    assert f"{tmp_path.name}/test.jsonl line 1" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("model", "row", "said"),
    [
        (entry(problem_type="multi_label_classification"), {"text": "x", "labels": []}, "no text has a label"),
        (entry(problem_type="regression", labels=("x",)), {"text": "x", "label": 1}, "is the same"),
        (entry("feature-extraction"), {"text": "x", "text_pair": "y", "score": 1}, "is the same"),
        (entry("token-classification", labels=ENTITY_CLASSES), {"text": "x", "entities": []}, "no text has an entity"),
        (entry("text-ranking"), {"query": "x", "document": "y", "label": 1}, "a better and a worse"),
    ],
)
def test_data_that_can_judge_nothing(tmp_path, model, row, said):
    with pytest.raises(UserError, match=said):
        evaluation(tmp_path, model, [row, row])


def test_no_test_split(tmp_path):
    with pytest.raises(UserError, match=r"test\.jsonl: No such file"):
        load(entry(), tmp_path, source())


# --- tokens and calibration rows -------------------------------------------------------------------------------------


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


def train(folder, rows):
    (folder / "train.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


def test_calibration_rows_are_drawn_from_all_of_the_training_split(tmp_path):
    train(tmp_path, [{"text": f"é{i}", "label": "a"} for i in range(1000)])
    drawn = list(calibration_rows(entry(), tmp_path, 200))
    assert drawn == list(calibration_rows(entry(), tmp_path, 200))
    assert drawn != list(calibration_rows(entry(), tmp_path, 200, seed=1))
    numbers = [int(text[1:]) for text in drawn]
    assert len(set(numbers)) == 200
    assert numbers != sorted(numbers)
    assert 400 < np.mean(numbers) < 600
    assert min(numbers) < 50 < 950 < max(numbers)


def test_a_small_training_split_is_used_whole(tmp_path):
    train(tmp_path, [{"text": f"{i}"} for i in range(5)])
    assert sorted(calibration_rows(entry(), tmp_path, 200)) == list("01234")


def test_calibration_does_not_hold_the_data(tmp_path):
    train(tmp_path, [{"text": "x"} for _ in range(100)] + [{"text": " "}])
    rows = calibration_rows(entry(), tmp_path, 101)
    assert list(itertools.islice(rows, 1)) == ["x"]  # the bad line is not read before it is reached
    with pytest.raises(UserError, match=r"train\.jsonl line 101"):
        list(rows)


@pytest.mark.parametrize(
    ("line", "said"),
    [('{"text": "\\ud83d"}', "half of a character"), ("[" * 100_000, "nested too deeply"), ("{}", "KeyError")],
)
def test_a_bad_calibration_row_is_named(tmp_path, line, said):
    (tmp_path / "train.jsonl").write_text(line)
    with pytest.raises(UserError, match=said) as refused:
        list(calibration_rows(entry(), tmp_path, 1))
    assert "train.jsonl line 1" in str(refused.value)


@pytest.mark.parametrize(
    ("model", "rows", "expected"),
    [
        (entry(text_pairs=True), [{"text": "x", "text_pair": "y"}], {("x", "y")}),
        (entry("text-ranking"), [{"query": "x", "document": "y"}], {("x", "y")}),
        (entry("feature-extraction"), [{"text": "x", "text_pair": "y"}] * 2, {"x", "y"}),
        (entry("feature-extraction"), [{"text": "x"}], {"x"}),
        (
            entry("zero-shot-classification", hypothesis_template="{}!"),
            [{"text": "x"}] * 3,
            {("x", "a!"), ("x", "b!"), ("x", "c!")},
        ),
    ],
)
def test_calibration_rows_are_those_of_the_engine(tmp_path, model, rows, expected):
    train(tmp_path, rows)
    assert set(calibration_rows(model, tmp_path, 10)) == expected


@pytest.mark.parametrize("content", [None, ""])
def test_no_training_split(tmp_path, content):
    if content is not None:
        train(tmp_path, [])
    with pytest.raises(UserError, match="calibrate static quantisation"):
        calibration_rows(entry(), tmp_path, 10)
