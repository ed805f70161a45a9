from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bench.embedding import plan


def test_repetitions_are_found() -> None:
    found = plan.distinct(["b", "a", "b", "", "a", "\ud800"])
    assert found.texts == ["b", "a", "", "\ud800"]
    assert [found.texts[place] for place in found.inverse] == ["b", "a", "b", "", "a", "\ud800"]
    assert len(set(found.keys.tolist())) == 4
    assert len(plan.distinct([]).keys) == 0


@given(st.lists(st.integers(0, 400_000), max_size=40))
def test_windows_hold_every_text_once_and_are_not_too_large(sizes: list[int]) -> None:
    texts = [f"{i:03}" + "x" * size for i, size in enumerate(sizes)]
    found = plan.distinct(texts)
    skip = np.arange(len(texts)) % 5 == 4
    windows = plan.windows(found, skip)
    places = [place for window in windows for place in window.places.tolist()]
    assert sorted(places) == np.flatnonzero(~skip).tolist()
    lengths = [len(texts[place]) for place in places]
    assert lengths == sorted(lengths, reverse=True)
    for window in windows:
        characters = sum(len(texts[place]) for place in window.places)
        assert characters <= plan.WINDOW_CHARACTERS or len(window.places) == 1


def test_windows_do_not_depend_on_the_order_of_the_texts() -> None:
    texts = [f"text {i} {'x' * (i % 7) * 20_000}" for i in range(60)]

    def contents(texts: list[str]) -> list[list[str]]:
        found = plan.distinct(texts)
        return [[found.texts[place] for place in w.places] for w in plan.windows(found, np.zeros(len(texts), bool))]

    assert contents(texts) == contents(texts[::-1])
    assert len(contents(texts)) > 3


def test_a_window_holds_so_many_texts_at_most() -> None:
    found = plan.distinct([str(i) for i in range(plan.WINDOW_TEXTS + 1)])
    sizes = [len(window.places) for window in plan.windows(found, np.zeros(len(found.texts), bool))]
    assert sizes == [plan.WINDOW_TEXTS, 1]


@given(st.lists(st.integers(0, 50), max_size=60), st.integers(1, 100))
def test_batches_hold_every_text_once_within_the_budget(lengths: list[int], budget: int) -> None:
    batches = [batch.tolist() for batch in plan.batches(lengths, budget)]
    assert sorted(place for batch in batches for place in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(1, *(lengths[place] for place in batch)) <= budget
