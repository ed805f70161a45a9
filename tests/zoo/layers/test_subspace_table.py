from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from zoo.layers import digit_softmax
from zoo.layers.subspace_table import SubspaceTable


def test_parameters_are_base_times_width_and_the_own_rows() -> None:
    table = SubspaceTable(30522, 384)
    assert (table.base, sum(p.numel() for p in table.parameters())) == (175, 175 * 384)
    assert table.rank_bound == 349
    table = SubspaceTable(30522, 384, num_tables=3, own_rows=500)
    assert sum(p.numel() for p in table.parameters()) == (table.base + 500) * 384
    assert table.base == 32  # 32^3 holds 30,022 tokens, 31^3 does not
    assert table.table_rows == (32, 32, 32)


def test_rows_are_blocks_of_the_tables() -> None:
    table = SubspaceTable(20, 6, num_tables=3, own_rows=2)
    blocks = table.matrix.detach().view(3, table.base, 2)
    number = 13 - 2
    expected = torch.cat([blocks[j, number // table.base**j % table.base] for j in range(3)])
    assert torch.equal(table.rows(torch.tensor([13]))[0], expected)
    assert table.own is not None
    assert torch.equal(table.rows(torch.tensor([1, 0])), table.own.matrix[[1, 0]])


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"5 tables do not divide width 64: choose num_tables among \[1, 2, 4, 8, 16, 32, 64\]"
    ):
        SubspaceTable(100, 64, num_tables=5)
    with pytest.raises(ValueError, match=r"own_rows must lie in \[0, 100\), not 100"):
        SubspaceTable(100, 64, own_rows=100)
    with pytest.raises(ValueError, match="2 tables of 9 rows have no codes for 100 tokens: set base to at least 10"):
        SubspaceTable(100, 64, base=9)
    assert SubspaceTable(100, 64, base=11).base == 11
    table = SubspaceTable(10, 4)
    with pytest.raises(ValueError, match="permutation of 0 to 9"):
        table.assign(torch.zeros(10, dtype=torch.int64))
    places = torch.arange(10)
    codes = table.codes.long()
    with pytest.raises(ValueError, match="1 tokens share their codes"):
        table.assign(places, codes.index_copy(0, torch.tensor([3]), codes[4:5]))
    with pytest.raises(ValueError, match="numbers from 0 to 3"):
        table.assign(places, codes + 1)
    with pytest.raises(ValueError, match="numbers from 0 to 3"):
        table.assign(places, codes[:5])
    with pytest.raises(ValueError, match="at least one target"):
        table.cross_entropy(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))


def test_a_checkpoint_keeps_places_and_codes() -> None:
    torch.manual_seed(0)
    table, other = SubspaceTable(10, 4), SubspaceTable(10, 4)
    table.assign(torch.randperm(10), torch.tensor([[i % 4, 3 - i // 4] for i in range(10)]))
    assert other._spells_all
    other.load_state_dict(table.state_dict())
    assert not other._spells_all
    assert torch.equal(other.weight(), table.weight())


def test_codes_take_a_byte_where_one_holds_them() -> None:
    assert SubspaceTable(300, 4, base=256).codes.dtype == torch.uint8
    assert SubspaceTable(300, 4, base=257).codes.dtype == torch.int32
    table = SubspaceTable(300, 4, base=256)
    codes = torch.stack([torch.arange(300) % 256, 255 - torch.arange(300) // 256], 1)
    table.assign(torch.arange(300), codes)
    blocks = table.matrix.detach().view(2, 256, 2)
    assert torch.equal(table.rows(torch.tensor([299]))[0], torch.cat([blocks[0, 43], blocks[1, 254]]))


def test_codes_of_four_bytes_are_read_from_earlier_checkpoints() -> None:
    table, other = SubspaceTable(10, 4), SubspaceTable(10, 4)
    table.assign(torch.randperm(10))
    state = {name: value.int() if name == "codes" else value for name, value in table.state_dict().items()}
    other.load_state_dict(state)
    assert other.codes.dtype == torch.uint8
    assert torch.equal(other.weight(), table.weight())


class LargestTensor(TorchDispatchMode):
    """Size of the largest tensor of real numbers that any operation gives."""

    numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, torch.Tensor) and value.is_floating_point():
                self.numel = max(self.numel, value.numel())
        return result


@pytest.mark.parametrize("own", [0, 50])
def test_the_step_holds_nothing_of_the_size_of_the_vocabulary(own: int) -> None:
    """Neither scores (N, V) nor a composed table (V, D) exist, in the loss or in its gradient."""
    vocab, width, rows = 100_000, 32, 64
    table = SubspaceTable(vocab, width, own_rows=own)
    hidden = torch.randn(rows, width, requires_grad=True)

    assert table._spells_all, "looked up once a checkpoint"
    largest = LargestTensor()  # type: ignore[no-untyped-call]
    with largest:
        table.cross_entropy(hidden, torch.randint(vocab, (rows,))).backward()
    assert 0 < largest.numel <= 2 * rows * (table.base + own) < vocab


def test_the_form_follows_codes_and_bias(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[str] = []

    def watched(name: str, original: Any) -> Any:
        def call(*arguments: Any) -> Any:
            used.append(name)
            return original(*arguments)

        return call

    for name in ("box", "grid", "gather"):
        monkeypatch.setattr(digit_softmax, name, watched(name, getattr(digit_softmax, name)))
    hidden, targets, bias = torch.randn(3, 12), torch.tensor([0, 1, 2]), torch.zeros(50)
    for tables, given, base in ((2, None, None), (2, bias, None), (3, None, None), (3, bias, None), (3, bias, 10)):
        SubspaceTable(50, 12, num_tables=tables, base=base).log_probs(hidden, targets, given)
    assert used == ["box", "grid", "box", "grid", "gather"]


@pytest.mark.parametrize(("base", "biased"), [(None, False), (None, True), (100, True)], ids=["box", "grid", "gather"])
def test_autocast_leaves_the_sums_in_single_precision(base: int | None, biased: bool) -> None:
    torch.manual_seed(0)
    table = SubspaceTable(500, 12, 1.0, base=base)
    hidden, targets = torch.randn(8, 12).bfloat16(), torch.arange(8)
    bias = torch.randn(500) if biased else None
    exact = table.log_probs(hidden.float(), targets, bias)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = table.log_probs(hidden, targets, bias)
    assert mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, exact, rtol=0, atol=1e-4)
    (gradient,) = torch.autograd.grad(mixed.sum(), table.matrix)
    for rows in gradient.split(table.base):
        assert float(rows.sum(0).abs().max()) < 1e-4, "a zero sum over each table"


def test_many_digits_of_a_large_base() -> None:
    """Numbers of 8 x 40 bits exist nowhere."""
    torch.manual_seed(0)
    table = SubspaceTable(300, 80, num_tables=40, base=256)
    assert table.codes[299].tolist() == [43, 1, *[0] * 38]
    assert not table._spells_all
    hidden = torch.randn(4, 80)
    found = table.log_probs(hidden, torch.arange(4))
    torch.testing.assert_close(found, (hidden @ table.weight().T).log_softmax(-1)[:, :4].diagonal())


def test_no_rows_have_no_probabilities() -> None:
    for own in (0, 5):
        table = SubspaceTable(30, 8, own_rows=own)
        assert table.log_probs(torch.zeros(0, 8), torch.zeros(0, dtype=torch.int64)).shape == (0,)


def test_codes_go_back_to_the_digits_of_places() -> None:
    table = SubspaceTable(9, 4)
    digits = table.codes.clone()
    table.assign(torch.arange(9), digits.flip(0))
    assert not torch.equal(table.codes, digits)
    table.assign(torch.arange(9))
    assert torch.equal(table.codes, digits)
