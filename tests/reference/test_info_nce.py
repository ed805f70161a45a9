"""InfoNCE from its definition, in float64."""

from __future__ import annotations

import math

import pytest
import torch

from zoo.contracts import PackedBatch, PairBatch
from zoo.objectives import InfoNCE, Matryoshka

Vectors = list[list[float]]


def cosine(a: list[float], b: list[float]) -> float:
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))


def one_way(anchors: Vectors, others: Vectors, temperature: float) -> float:
    total = 0.0
    for i, anchor in enumerate(anchors):
        powers = [math.exp(cosine(anchor, other) / temperature) for other in others]
        total -= math.log(powers[i] / sum(powers))
    return total / len(anchors)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("temperature", [0.05, 0.7])
def test_equals_the_definition(bidirectional: bool, temperature: float) -> None:
    torch.manual_seed(0)
    queries, documents = torch.randn(2, 6, 5, dtype=torch.float64)
    criterion = InfoNCE(temperature, bidirectional=bidirectional).double()
    criterion.log_scale.data.fill_(-math.log(temperature))  # it was made in single precision
    loss, accuracy = criterion(queries, documents)
    q, d = queries.tolist(), documents.tolist()
    expected = one_way(q, d, temperature)
    if bidirectional:
        expected = (expected + one_way(d, q, temperature)) / 2
    assert loss.item() == pytest.approx(expected, abs=1e-10)
    found = [max(range(6), key=lambda j, i=i: cosine(q[i], d[j])) == i for i in range(6)]  # type: ignore[misc]
    assert accuracy.item() == pytest.approx(sum(found) / 6)


# Texts 1, 2, 3, ... as sequences of one token. Queries 0 and 3 are one text, documents 1 and 4 too; hard negative 2 is
# the document of query 0, and hard negative 5 that of query 4.
QUERIES = [1, 2, 3, 1, 5]
DOCUMENTS = [11, 12, 13, 14, 12]
NEGATIVES = [21, 22, 11, 23, 24, 12, 25, 26, 27, 28]


def masked_loss(queries: Vectors, documents: Vectors, temperature: float, margin: float | None) -> float:
    """Loss from queries to documents, each column looked at by itself."""
    texts = DOCUMENTS + NEGATIVES
    total = 0.0
    for i, query in enumerate(queries):
        positive = cosine(query, documents[i])
        kept = [positive]
        for j, document in enumerate(documents):
            false = margin is not None and (
                cosine(query, document) > positive + margin
                or texts[j] == DOCUMENTS[i]
                or (j < len(QUERIES) and QUERIES[j] == QUERIES[i])
            )
            if j != i and not false:
                kept.append(cosine(query, document))
        total -= math.log(math.exp(positive / temperature) / sum(math.exp(c / temperature) for c in kept))
    return total / len(queries)


def backward_loss(queries: Vectors, documents: Vectors, temperature: float, margin: float | None) -> float:
    """Loss from the first documents to queries."""
    total = 0.0
    for i, document in enumerate(documents[: len(queries)]):
        positive = cosine(document, queries[i])
        kept = [positive]
        for j, query in enumerate(queries):
            false = margin is not None and (
                cosine(document, query) > positive + margin or QUERIES[j] == QUERIES[i] or DOCUMENTS[j] == DOCUMENTS[i]
            )
            if j != i and not false:
                kept.append(cosine(document, query))
        total -= math.log(math.exp(positive / temperature) / sum(math.exp(c / temperature) for c in kept))
    return total / len(queries)


def hard(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, PairBatch]:
    """Vectors of five queries, their documents and ten hard negatives, and the batch that they stand for."""
    torch.manual_seed(seed)
    queries, documents = torch.randn(5, 4, dtype=torch.float64), torch.randn(15, 4, dtype=torch.float64)
    batch = PairBatch(
        PackedBatch.from_sequences([[token] for token in QUERIES]),
        PackedBatch.from_sequences([[token] for token in DOCUMENTS + NEGATIVES]),
    )
    return queries, documents, batch


@pytest.mark.parametrize("margin", [None, 0.0, 0.1, 0.5])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_hard_and_false_negatives(margin: float | None, bidirectional: bool) -> None:
    queries, documents, batch = hard()
    criterion = InfoNCE(0.1, bidirectional=bidirectional, false_negative_margin=margin).double()
    criterion.log_scale.data.fill_(math.log(10))
    q, d = queries.tolist(), documents.tolist()
    expected = masked_loss(q, d, 0.1, margin)
    if bidirectional:
        expected = (expected + backward_loss(q, d, 0.1, margin)) / 2
    assert criterion(queries, documents, batch)[0].item() == pytest.approx(expected, abs=1e-10)


def test_sizes_are_cut_off_before_vectors_are_normalised() -> None:
    queries, documents, batch = hard()

    def inner() -> InfoNCE:
        criterion = InfoNCE(0.1).double()
        criterion.log_scale.data.fill_(math.log(10))
        return criterion

    expected = sum(
        weight * masked_loss([v[:m] for v in queries.tolist()], [v[:m] for v in documents.tolist()], 0.1, None)
        for m, weight in ((4, 0.5), (3, 1.0), (1, 2.0))
    )
    criterion = Matryoshka([1, 4, 3], [2.0, 0.5, 1.0], inner)
    assert criterion(queries, documents, batch)[0].item() == pytest.approx(expected, abs=1e-10)
