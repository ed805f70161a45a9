from __future__ import annotations

import pytest
import torch
from torch import nn

from zoo.embeddings import FullEmbedding, TiedEmbedding
from zoo.encoders import DenseEncoder
from zoo.heads import SoftmaxHead
from zoo.layers.output_matrix import OutputMatrix
from zoo.optim.groups import by_role


class Vocabulary(nn.Linear):
    parameter_role = "vocabulary"


def roles_by_name(model: nn.Module) -> dict[str, str]:
    names = {id(p): name for name, p in model.named_parameters()}
    return {names[id(p)]: group["role"] for group in by_role(model) for p in group["params"]}


@pytest.mark.parametrize("tied", [False, True])
def test_every_parameter_once(tied: bool) -> None:
    embedding = TiedEmbedding(9, 8) if tied else FullEmbedding(9, 8)
    table = embedding.output_table() or OutputMatrix(9, 8)
    model = nn.ModuleList([embedding, DenseEncoder(8, num_layers=1, num_heads=2, bias=True), SoftmaxHead(table)])
    listed = [id(p) for group in by_role(model) for p in group["params"]]
    assert sorted(listed) == sorted(id(p) for p in model.parameters())
    assert len(set(listed)) == len(listed)
    roles = roles_by_name(model)
    assert sum(role == "vocabulary" for role in roles.values()) == (1 if tied else 2)
    for name, parameter in model.named_parameters():
        expected = "vector" if parameter.ndim < 2 else "matrix" if name.startswith("1.") else "vocabulary"
        assert roles[name] == expected, name


def test_vectors_are_not_decayed() -> None:
    optimizer = torch.optim.AdamW(by_role(nn.Linear(3, 4)), weight_decay=0.5)
    assert {g["role"]: g["weight_decay"] for g in optimizer.param_groups} == {"matrix": 0.5, "vector": 0.0}
    optimizer = torch.optim.AdamW(by_role(FullEmbedding(9, 8)), weight_decay=0.5)
    assert [g["weight_decay"] for g in optimizer.param_groups] == [0.0], "nor are tables"


def test_frozen_parameters_are_left_out() -> None:
    model = nn.Linear(3, 4)
    model.bias.requires_grad_(False)
    assert roles_by_name(model) == {"weight": "matrix"}
    model.weight.requires_grad_(False)
    with pytest.raises(ValueError, match="no trainable parameter"):
        by_role(model)


def test_one_parameter_with_two_roles_is_refused() -> None:
    first, second = nn.Linear(3, 4), Vocabulary(3, 4)
    second.weight = first.weight
    with pytest.raises(ValueError, match=r"1\.weight and 0\.weight are one parameter with two roles"):
        by_role(nn.ModuleList([first, second]))


def vocabulary_groups(model: nn.Module) -> dict[str, dict[str, object]]:
    return {g["side"]: g for g in by_role(model) if g["role"] == "vocabulary"}


def test_tables_know_their_side() -> None:
    own = FullEmbedding(9, 8)
    untied = vocabulary_groups(nn.ModuleList([own, SoftmaxHead(OutputMatrix(9, 8))]))
    assert sorted(untied) == ["input", "output"]
    assert untied["input"]["params"] == [own.weight]
    assert (untied["input"]["zero_sum"], untied["output"]["zero_sum"]) == (False, True)
    shared = TiedEmbedding(9, 8)
    assert sorted(vocabulary_groups(nn.ModuleList([shared, SoftmaxHead(shared.output_table())]))) == ["tied"]
    assert sorted(vocabulary_groups(shared)) == ["input"], "a table that no head reads is looked up only"
    assert sorted(vocabulary_groups(Vocabulary(3, 4))) == ["input"], "and so is one that nobody claims"


def test_tables_know_their_rows_and_what_their_losses_promise() -> None:
    class Padded(OutputMatrix):
        @property
        def table_rows(self) -> tuple[int, ...]:
            return (4, 3)

    class Free(SoftmaxHead):
        zero_sum = False

    (group,) = vocabulary_groups(nn.ModuleList([SoftmaxHead(Padded(9, 8)), SoftmaxHead(OutputMatrix(9, 8))])).values()
    assert group["table_rows"] == [(4, 3), (9,)]
    table = OutputMatrix(9, 8)
    assert vocabulary_groups(nn.ModuleList([SoftmaxHead(table), Free(table)]))["output"]["zero_sum"] is False
