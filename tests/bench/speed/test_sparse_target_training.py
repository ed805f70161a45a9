from __future__ import annotations

import pytest
import torch

from bench.speed import sparse_target_training
from bench.speed.sparse_target_training import OURS, SOFTMAX, Setting
from bench.speed.text import numbered_words
from zoo.contracts import PackedBatch
from zoo.heads.factored_table import FactoredTable
from zoo.heads.softmax_head import SoftmaxHead
from zoo.heads.sparse_target_head import SparseTargetHead

TINY = Setting(classes=300, width=16, layers=1, hidden=32, sequences=2, length=9)


def test_both_heads_are_timed() -> None:
    found = sparse_target_training.measure(TINY, rounds=1)
    assert list(found.timings) == [OURS, SOFTMAX]
    assert found.tokens == 18
    assert found.encoder_weights == 4 * 16**2 + 3 * 16 * 32 + 4 * 16


@pytest.mark.parametrize("factored", [True, False])
def test_every_part_of_a_model_is_stepped(factored: bool) -> None:
    torch.manual_seed(0)
    head = SparseTargetHead if factored else SoftmaxHead
    model = sparse_target_training._model(TINY, numbered_words(TINY.classes), head)
    batch = PackedBatch.from_sequences(list(torch.randint(5, TINY.classes, (2, 9))))
    before = {name: value.clone() for name, value in model.named_parameters()}
    rows = model.head.table.weight().detach().clone()
    sparse_target_training._steps(model, batch)()
    assert all(not torch.equal(value, before[name]) for name, value in model.named_parameters())
    assert not torch.equal(model.head.table.weight(), rows)
    assert isinstance(model.head.table, FactoredTable) == factored
    assert all(value.grad is None for value in model.parameters())
