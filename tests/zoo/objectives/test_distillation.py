from __future__ import annotations

import math
from functools import partial

import pytest
import torch

from zoo.contracts import PackedBatch, PairBatch
from zoo.objectives import Distillation, InfoNCE


def candidates(pairs: int = 3, negatives: int = 2) -> tuple[torch.Tensor, torch.Tensor, PairBatch]:
    queries = torch.randn(pairs, 4, dtype=torch.float64)
    documents = torch.randn(pairs * (1 + negatives), 4, dtype=torch.float64)
    scores = torch.randn(pairs, 1 + negatives)
    texts = PackedBatch.from_sequences([[5]] * pairs), PackedBatch.from_sequences([[5]] * len(documents))
    return queries, documents, PairBatch(texts[0], texts[1], scores)


def test_equals_the_definition() -> None:
    queries, documents, batch = candidates()
    assert batch.scores is not None
    alone = InfoNCE().double()(queries, documents, batch)
    expected = alone[0].item()
    for i, query in enumerate(queries):
        own = [documents[i], documents[3 + 2 * i], documents[4 + 2 * i]]
        student = [math.exp(float(torch.cosine_similarity(query, d, dim=0)) / 0.2) for d in own]
        teacher = [math.exp(float(score) / 2.0) for score in batch.scores[i]]
        for s, t in zip(student, teacher, strict=True):
            p = t / sum(teacher)
            expected += 0.5 / 3 * p * math.log(p / (s / sum(student)))
    loss, accuracy = Distillation(0.5, 0.2, 2.0).double()(queries, documents, batch)
    assert loss.item() == pytest.approx(expected, rel=1e-6)
    assert accuracy == alone[1]


def test_a_student_that_agrees_has_only_the_other_loss() -> None:
    queries, documents, batch = candidates()
    own = torch.cat([documents[:3, None], documents[3:].view(3, 2, 4)], 1)
    agreed = torch.cosine_similarity(queries[:, None], own, dim=-1).detach()
    loss, _ = Distillation(7.0, 0.1, 0.1).double()(
        queries, documents, PairBatch(batch.queries, batch.documents, agreed)
    )
    assert loss.item() == pytest.approx(InfoNCE().double()(queries, documents)[0].item(), abs=1e-10)


def test_scores_travel_with_the_batch() -> None:
    *_, batch = candidates()
    assert batch.to("meta").scores.device.type == "meta"  # type: ignore[union-attr]


def test_chunks_are_those_of_the_other_loss() -> None:
    assert Distillation(loss=partial(InfoNCE, chunk_texts=5)).chunk_texts == 5


def test_refusals() -> None:
    queries, documents, batch = candidates()
    message = "needs a teacher's scores of hard negatives"
    for without in (None, PairBatch(batch.queries, batch.documents)):
        with pytest.raises(ValueError, match=message):
            Distillation()(queries, documents, without)
    with pytest.raises(ValueError, match=message):
        Distillation()(queries, documents[:3], PairBatch(batch.queries, batch.queries, torch.ones(3, 1)))
    with pytest.raises(ValueError, match=r"scores of shape \(3, 2\): give 3 queries 3 each"):
        PairBatch(batch.queries, batch.documents, torch.ones(3, 2))
    for name in ("weight", "temperature", "teacher_temperature"):
        with pytest.raises(ValueError, match=f"{name} must be above 0, not 0"):
            Distillation(**{name: 0.0})  # type: ignore[arg-type]
