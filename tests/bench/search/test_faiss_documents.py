from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from bench.search.faiss_documents import FaissDocuments
from bench.search.top_documents import TopDocuments


def test_another_measure_is_refused() -> None:
    with pytest.raises(ValueError, match="this model compares by manhattan"):
        FaissDocuments(["a"], np.ones((1, 2), np.float32), 1, "manhattan")


def test_absence_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ValueError, match="faiss is not installed: pip install"):
        FaissDocuments(["a"], np.ones((1, 2), np.float32), 1, "dot")


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
@pytest.mark.parametrize("k", [1, 4, 50])
@pytest.mark.filterwarnings("ignore:builtin type .*:DeprecationWarning")
def test_it_finds_what_torch_finds(similarity: str, k: int) -> None:
    pytest.importorskip("faiss", reason="faiss is not installed")
    random = np.random.default_rng(0)
    queries, documents = (random.integers(1, 3, (size, 2)).astype(np.float32) for size in (5, 40))
    ids = [str(number) for number in random.permutation(40)]

    def cosine(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(left) @ torch.nn.functional.normalize(right).T

    faiss = FaissDocuments(ids, queries, k, similarity)
    exact = TopDocuments(ids, queries, k, cosine if similarity == "cosine" else lambda left, right: left @ right.T)
    for first in (0, 25):
        block = documents[first : first + 25]
        faiss.add(first, block)
        exact.add(first, block)
    for found, expected in zip(faiss.results(), exact.results(), strict=True):
        if similarity == "dot":
            assert list(found.items()) == list(expected.items())
        assert sorted(found.values()) == pytest.approx(sorted(expected.values()), rel=1e-5)
