"""Pairs of texts with a score: cosines, nearest neighbours, and how far an embedding moved. SciPy is the oracle."""

import math
import tracemalloc

import numpy as np
import pytest
from evaluations import entry, evaluation, probabilities, samples, source
from json_files import write_lines
from scipy.stats import spearmanr

from luxe_export.evaluation import load


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
    write_lines(tmp_path / "test.jsonl", rows)
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
