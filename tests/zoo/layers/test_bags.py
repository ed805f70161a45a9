from __future__ import annotations

import math
from collections import Counter

import pytest
import torch

from zoo.contracts import PackedBatch
from zoo.layers.bags import bags

RARITY = torch.tensor([0.0, 0.0, 3.0, 1.0, 2.0, 0.5, 2.5])


@pytest.mark.parametrize("most", [1, 3, 8])
def test_equals_the_definition(most: int) -> None:
    generator = torch.Generator().manual_seed(0)
    texts = [torch.randint(7, (n,), generator=generator).tolist() for n in (1, 4, 9, 30)]
    ids, weights = bags(PackedBatch.from_sequences(texts), RARITY, most)
    assert ids.shape == weights.shape == (4, most)
    for row, text in enumerate(texts):
        expected = {t: (1 + math.log(n)) * float(RARITY[t]) for t, n in Counter(text).items() if RARITY[t] > 0}
        heaviest = sorted(expected.values(), reverse=True)[:most]
        found = weights[row][weights[row] > 0].tolist()
        assert found == pytest.approx(heaviest)
        kept = ids[row][: len(found)].tolist()
        assert len(set(kept)) == len(kept)
        assert [expected[t] for t in kept] == pytest.approx(found)
        assert not weights[row][len(found) :].any()
        assert not ids[row][len(found) :].any()


def test_a_text_without_words_has_an_empty_bag() -> None:
    _, weights = bags(PackedBatch.from_sequences([[0, 1, 1], [2]]), RARITY, 3)
    assert weights.tolist() == [[0, 0, 0], [3, 0, 0]]
