from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bench.words.similarity import SCORES, Pairs, correlations, cosine, inner_product

ROWS = [("sun", "moon", 3.0), ("sun", "unheard", 9.0), ("moon", "sea", 1.0), ("sea", "sun", 2.0)]
IDS = {"sun": 0, "moon": 2, "sea": 1}
TABLE = np.array([[1.0, 0.0], [3.0, 4.0], [0.0, 2.0]])


def test_pairs_with_a_word_that_is_no_token_are_left_out() -> None:
    pairs = Pairs.of(ROWS, IDS.get)
    assert len(pairs) == 3
    assert pairs.ids == ["0 sun moon", "2 moon sea", "3 sea sun"]
    assert pairs.gold.tolist() == [3.0, 1.0, 2.0]
    assert pairs.tokens.tolist() == [[0, 2], [2, 1], [1, 0]]


def test_no_pair_may_be_left() -> None:
    pairs = Pairs.of(ROWS, lambda word: None)
    assert len(pairs) == 0
    assert pairs.tokens.shape == (0, 2)


def test_similarities_are_those_of_the_rows() -> None:
    pairs = Pairs.of(ROWS, IDS.get)
    assert inner_product(TABLE, pairs).tolist() == [0.0, 8.0, 3.0]
    assert cosine(TABLE, pairs) == pytest.approx([0.0, 0.8, 0.6])
    assert cosine(np.zeros((3, 2)), pairs).tolist() == [0.0, 0.0, 0.0]


def test_scores_are_those_of_scipy() -> None:
    rng = np.random.default_rng(0)
    table = rng.normal(size=(20, 4)) * rng.uniform(0.1, 9, size=(20, 1))
    words = [f"w{i}" for i in range(20)]
    rows = [(words[i], words[j], float(rng.integers(9))) for i in range(20) for j in range(i)]
    pairs = Pairs.of(rows, words.index)
    found = correlations(table, pairs)
    assert (
        tuple(found)
        == SCORES
        == ("cosine_pearson", "cosine_spearman", "inner_product_pearson", "inner_product_spearman")
    )
    for name, values in (("cosine", cosine(table, pairs)), ("inner_product", inner_product(table, pairs))):
        expected = stats.pearsonr(pairs.gold, values).statistic, stats.spearmanr(pairs.gold, values).statistic
        assert found[f"{name}_pearson"].statistic() == pytest.approx(expected[0], rel=1e-12)
        assert found[f"{name}_spearman"].statistic() == pytest.approx(expected[1], rel=1e-12)
        assert found[f"{name}_pearson"].count == 190
        assert found[f"{name}_pearson"].unit == "pair"
