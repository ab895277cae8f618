"""Queries and their documents. scikit-learn is the oracle."""

import math

import numpy as np
import pytest
from evaluations import entry, evaluation, probabilities
from sklearn.metrics import ndcg_score


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
