from __future__ import annotations

import torch

from zoo.heads.sparse_target import merge_targets


def test_values_of_a_class_meet_at_its_first_place() -> None:
    targets = torch.tensor([[5, 2, 5, 5], [0, 0, 0, 0], [9, 8, 7, 9], [5, 2, 5, 5]])
    values = torch.tensor([[1.0, 2, 3, 4], [1, 0, 0, 0], [-1, 2, 3, 1], [1, 1, 1, 1]])
    expected = torch.tensor([[8.0, 2, 0, 0], [1, 0, 0, 0], [0, 2, 3, 0], [3, 1, 0, 0]])
    assert torch.equal(merge_targets(targets, values), expected)


def test_the_target_that_they_stand_for_is_the_same() -> None:
    torch.manual_seed(0)
    targets, values = torch.randint(60, (40, 50)), torch.rand(40, 50, dtype=torch.float64)
    merged = merge_targets(targets, values)
    full, expected = (torch.zeros(40, 60).double().scatter_add(1, targets, given) for given in (merged, values))
    torch.testing.assert_close(full, expected, rtol=1e-14, atol=0)
    # each class once: the square norm of the values is that of the target
    torch.testing.assert_close(merged.square().sum(-1), expected.square().sum(-1), rtol=1e-13, atol=0)
    assert torch.equal(merge_targets(targets, merged), merged)


def test_values_of_different_classes_stay_as_they_are() -> None:
    torch.manual_seed(0)
    targets, values = torch.rand(20, 30).argsort(1), torch.rand(20, 30)
    assert torch.equal(merge_targets(targets, values), values)
    assert merge_targets(targets[:, :1], values[:, :1]).shape == (20, 1)
    assert merge_targets(targets[:0], values[:0]).shape == (0, 30)
