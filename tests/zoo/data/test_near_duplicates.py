from __future__ import annotations

import random

import pytest

from zoo.data.near_duplicates import near_duplicates


def text_of(rng: random.Random, words: int) -> list[str]:
    return [f"w{rng.randrange(5000)}" for _ in range(words)]


def jaccard(a: list[str], b: list[str]) -> float:
    """The definition, on sets of 5 consecutive words."""
    sets = [{tuple(words[i : i + 5]) for i in range(len(words))} for words in (a, b)]
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def test_agrees_with_the_exact_similarity_away_from_the_threshold() -> None:
    rng = random.Random(0)
    checked = {True: 0, False: 0}
    for _ in range(200):
        a = text_of(rng, 200)
        b = list(a)
        for _ in range(rng.choice([0, 1, 2, 20, 60])):
            b[rng.randrange(len(b))] = "changed"
        exact = jaccard(a, b)
        if exact > 0.95 or exact < 0.6:
            checked[exact > 0.95] += 1
            assert near_duplicates([" ".join(a), " ".join(b)]).tolist() == [False, exact > 0.95]
    assert min(checked.values()) > 30


def test_white_space_does_not_count_and_marks_do() -> None:
    assert near_duplicates(["a(b, c)", "a ( b,\n\tc )"]).tolist() == [False, True]
    assert near_duplicates(["a + b", "a - b"]).tolist() == [False, False]


@pytest.mark.parametrize("texts", [[], [""], ["one"], ["", "one", ""], ["one two", "one three"]])
def test_short_texts(texts: list[str]) -> None:
    assert near_duplicates(texts)[: len(set(texts))].tolist() == [False] * min(len(texts), len(set(texts)))


def test_first_of_alike_is_kept_across_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [" ".join(text_of(random.Random(seed % 20), 50)) for seed in range(60)]
    whole = near_duplicates(texts).tolist()
    monkeypatch.setattr("zoo.data.near_duplicates._CHUNK_BYTES", 700)
    assert near_duplicates(texts).tolist() == whole == [False] * 20 + [True] * 40
