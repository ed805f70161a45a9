from __future__ import annotations

import random
from collections import Counter

from bench.glue.sampling import SELECTION_ROWS, choose, split

TEXTS = [[f"text {i}", str(i % 7)] for i in range(1000)]
LABELS = [int(i % 10 < 3) for i in range(1000)]


def test_the_shares_of_the_labels_are_kept() -> None:
    chosen = choose(TEXTS, LABELS, 100)
    assert chosen == sorted(set(chosen))
    assert Counter(LABELS[i] for i in chosen) == {0: 70, 1: 30}


def test_the_order_of_the_data_does_not_matter() -> None:
    order = random.Random(0).sample(range(1000), 1000)
    shuffled = choose([TEXTS[i] for i in order], [LABELS[i] for i in order], 100)
    assert {order[i] for i in shuffled} == set(choose(TEXTS, LABELS, 100))


def test_scores_of_a_regression_are_chosen_evenly() -> None:
    scores = [5 * i / 999 for i in range(1000)]
    chosen = Counter(round(scores[i]) for i in choose(TEXTS, scores, 100))
    assert chosen == {0: 10, 1: 20, 2: 20, 3: 20, 4: 20, 5: 10}


def test_every_row_is_in_one_part() -> None:
    fit, held_out = split(TEXTS, LABELS, 0.1)
    assert sorted([*fit, *held_out]) == list(range(1000))
    assert len(held_out) == 100
    assert split(TEXTS, LABELS, 0.0) == (list(range(1000)), [])


def test_the_held_out_part_is_bounded() -> None:
    texts, labels = [[str(i)] for i in range(20_000)], [0] * 20_000
    assert len(split(texts, labels, 0.1)[1]) == SELECTION_ROWS


def test_more_than_all_is_all() -> None:
    assert choose([["a"], ["b"]], [0, 1], 10) == [0, 1]
