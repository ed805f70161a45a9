from __future__ import annotations

import numpy as np
import pytest

from bench.protocols import Route
from bench.speed import search
from bench.speed.bag_of_tokens import BagOfTokens

ROUTE = Route("", None)


def test_equal_texts_get_equal_vectors_and_others_do_not() -> None:
    encoder = BagOfTokens(dim=8)
    same, again, other, empty = encoder.embed(encoder.tokenize(["a b", "b a", "a c", ""], ROUTE), ROUTE)
    np.testing.assert_allclose(same, again, rtol=1e-6)
    assert not np.allclose(same, other)
    assert np.isfinite(empty).all()
    assert encoder.describe().revision == BagOfTokens(dim=8).describe().revision


@pytest.mark.slow
def test_each_query_finds_its_document_under_a_cap() -> None:
    found = search.measure(documents=3000, memory=search.parse_size("2G"), queries=20, threads=1)
    assert (found.documents, found.queries) == (3000, 20)
    assert 0 < found.start_bytes <= found.peak_bytes < 2 * 2**30
    assert found.index_seconds >= 0
    assert found.search_seconds > 0


def test_a_cap_that_is_too_low_is_felt() -> None:
    with pytest.raises(ValueError, match="failed"):
        search.measure(documents=300, memory=search.parse_size("100M"), queries=2, threads=1)


@pytest.mark.parametrize("text", ["2X", "", "G", "-1G"])
def test_sizes_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="such as 2G"):
        search.parse_size(text)
