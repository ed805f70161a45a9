from __future__ import annotations

import copy
import os
import shutil
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zoo.optim import CoupledAdamW

V, H = 40, 6


def table_group(
    *tables: nn.Parameter, side: str = "output", rows: tuple[int, ...] | None = None, zero_sum: bool = True
) -> dict[str, Any]:
    rows_of = [rows] * len(tables)
    return {"role": "vocabulary", "side": side, "zero_sum": zero_sum, "params": [*tables], "table_rows": rows_of}


def tables(count: int = 1, rows: int = V, dtype: torch.dtype = torch.float32) -> list[nn.Parameter]:
    torch.manual_seed(0)
    return [nn.Parameter(torch.randn(rows, H).to(dtype)) for _ in range(count)]


def train(optimizer: torch.optim.Optimizer, steps: int, first: int = 0) -> None:
    for step in range(first, first + steps):
        for number, parameter in enumerate(p for group in optimizer.param_groups for p in group["params"]):
            random = torch.Generator().manual_seed(1000 * step + number)
            parameter.grad = torch.randn(parameter.shape, generator=random).to(parameter.dtype)
        optimizer.step()


def test_state_is_one_moment_a_number_and_one_vector() -> None:
    (table,) = tables()
    optimizer = CoupledAdamW([table_group(table)])
    train(optimizer, 1)
    state = optimizer.state[table]
    assert {name: tuple(value.shape) for name, value in state.items()} == {
        "step": (),
        "exp_avg": (V, H),
        "exp_avg_sq": (1, H),
    }
    plain = torch.optim.AdamW([table])
    train(plain, 1)
    numbers = [sum(t.untyped_storage().nbytes() // 4 for t in o.state[table].values()) for o in (optimizer, plain)]
    assert numbers == [V * H + H + 1, 2 * V * H + 1]


@pytest.mark.parametrize(
    ("couple", "coupled"),
    [("output", ["output", "tied"]), ("input", ["input", "tied"]), ("both", ["input", "output", "tied"])],
)
def test_couples_the_side_that_was_asked_for(couple: Any, coupled: list[str]) -> None:
    sides = dict(zip(("input", "output", "tied"), tables(3), strict=True))
    optimizer = CoupledAdamW([table_group(table, side=side) for side, table in sides.items()], couple=couple)
    train(optimizer, 1)
    shared = [side for side, table in sides.items() if optimizer.state[table]["exp_avg_sq"].shape == (1, H)]
    assert sorted(shared) == coupled


def test_padding_rows_count_for_nothing() -> None:
    (short,) = tables()
    long = nn.Parameter(torch.cat([short.detach(), torch.ones(7, H)]))
    optimizers = [CoupledAdamW([table_group(short)]), CoupledAdamW([table_group(long, rows=(V,))])]
    for step in range(5):
        short.grad = torch.randn(V, H, generator=torch.Generator().manual_seed(step))
        long.grad = torch.cat([short.grad, torch.full((7, H), 9.0)])
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(short, long[:V], rtol=0, atol=0)
    assert not torch.equal(long[V:], torch.ones(7, H)), "they are trained all the same"


def test_each_table_of_a_parameter_is_coupled_on_its_own() -> None:
    first, second = tables(2, rows=12)
    whole = nn.Parameter(torch.cat([first.detach(), second.detach()]))
    apart = CoupledAdamW([table_group(first, second)], table_weight_decay=0.1)
    together = CoupledAdamW([table_group(whole, rows=(12, 12))], table_weight_decay=0.1)
    for step in range(5):
        gradient = torch.randn(24, H, generator=torch.Generator().manual_seed(step))
        first.grad, second.grad, whole.grad = gradient[:12], 5 * gradient[12:], gradient.clone()
        whole.grad[12:] *= 5
        apart.step()
        together.step()
    torch.testing.assert_close(torch.cat([first, second]), whole, rtol=0, atol=0)
    assert together.state[whole]["exp_avg_sq"].shape == (2, H)


def test_decay_is_a_setting_of_each_role() -> None:
    (table,) = tables()
    matrix, vector = nn.Parameter(torch.ones(3, 3)), nn.Parameter(torch.ones(3))
    groups = [table_group(table), {"role": "matrix", "params": [matrix]}]
    groups.append({"role": "vector", "params": [vector], "weight_decay": 0.0})
    optimizer = CoupledAdamW(groups, weight_decay=0.3, table_weight_decay=0.2)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.2, 0.3, 0.0]
    assert CoupledAdamW([table_group(table)]).param_groups[0]["weight_decay"] == 0.0


def test_scale_lengthens_the_steps() -> None:
    moved = []
    for exponent in (0.0, 2.0):
        (table,) = tables()
        start = table.detach().clone()
        train(CoupledAdamW([table_group(table)], eps=0.0, scale_exponent=exponent), 1)
        moved.append(table.detach() - start)
    torch.testing.assert_close(2 * moved[0], moved[1], rtol=1e-3, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_goes_on_from_a_saved_state(dtype: torch.dtype) -> None:
    (whole,), (cut,) = tables(dtype=dtype), tables(dtype=dtype)
    uninterrupted, first = CoupledAdamW([table_group(whole)], lr=0.1), CoupledAdamW([table_group(cut)], lr=0.1)
    train(uninterrupted, 20)
    train(first, 9)
    saved = copy.deepcopy(first.state_dict())
    second = CoupledAdamW([table_group(cut)], lr=9.0)
    second.load_state_dict(saved)
    assert second.param_groups[0]["lr"] == 0.1
    assert second.state[cut]["exp_avg_sq"].dtype == torch.float32, "sums of squares are never rounded to bfloat16"
    assert second.state[cut]["exp_avg_sq"] is not saved["state"][0]["exp_avg_sq"]
    train(second, 11, first=9)
    assert torch.equal(whole, cut)


def test_half_precision_follows_single_precision() -> None:
    (half,), (single,) = tables(dtype=torch.bfloat16), tables()
    single.data = half.detach().float()
    for parameter in (half, single):
        train(CoupledAdamW([table_group(parameter)], lr=0.1, table_weight_decay=0.1), 10)
    torch.testing.assert_close(half.float(), single, rtol=0.02, atol=0.02)


def test_goes_on_from_adamw_with_the_mean_of_its_moments() -> None:
    (table,) = tables()
    plain = torch.optim.AdamW([table_group(table)], lr=0.1, betas=(0.9, 0.95), weight_decay=0.0)
    train(plain, 5)
    ours = CoupledAdamW([table_group(table)])
    ours.load_state_dict(plain.state_dict())
    expected = plain.state[table]["exp_avg_sq"].mean(0, keepdim=True)
    torch.testing.assert_close(ours.state[table]["exp_avg_sq"], expected)
    assert ours.param_groups[0]["coupled"]
    assert ours.param_groups[0]["lr"] == 0.1
    train(ours, 2, first=5)
    assert float(ours.state[table]["step"]) == 7


@pytest.mark.parametrize("rows", [None, (V - 4,), (10, 20)])
def test_adamw_goes_on_with_each_row_at_the_shared_moment(rows: tuple[int, ...] | None) -> None:
    (table,) = tables()
    ours = CoupledAdamW([table_group(table, rows=rows), {"role": "matrix", "params": tables()}], lr=0.1)
    train(ours, 5)
    plain = torch.optim.AdamW([{"params": [p for p in g["params"]]} for g in ours.param_groups])
    plain.load_state_dict(ours.adamw_state_dict())
    moment = plain.state[table]["exp_avg_sq"]
    assert moment.shape == (V, H)
    assert torch.equal(moment[0], ours.state[table]["exp_avg_sq"][0])
    assert torch.equal(moment[-1], ours.state[table]["exp_avg_sq"][-1])
    train(plain, 1, first=5)
    assert ours.state[table]["exp_avg_sq"].shape[1] == H, "ours is left as it was"


@pytest.mark.parametrize("exponent", [0.0, 2.0])
def test_the_first_step_of_adamw_is_ours(exponent: float) -> None:
    (table,) = tables()
    ours = CoupledAdamW([table_group(table)], lr=0.1, scale_exponent=exponent)
    train(ours, 200)
    other = nn.Parameter(table.detach().clone())
    plain = torch.optim.AdamW([other], weight_decay=0.0)
    plain.load_state_dict(ours.adamw_state_dict())
    before = table.detach().clone()
    train(ours, 1, first=200)
    train(plain, 1, first=200)
    updates = [(p.detach() - before).norm() for p in (table, other)]
    assert abs(float(updates[1] / updates[0]) - 1) < 0.2, "but for what one new gradient adds to the moments"


def test_a_copy_goes_on_as_the_original_does() -> None:
    (table,) = tables()
    ours = CoupledAdamW([table_group(table)], lr=0.1)
    train(ours, 3)
    twin = copy.deepcopy(ours)
    for optimizer in (ours, twin):
        train(optimizer, 3, first=3)
    assert torch.equal(table, twin.param_groups[0]["params"][0])


def test_parameters_may_come_as_a_generator() -> None:
    (table,) = tables()
    layer = nn.Linear(3, 3)
    optimizer = CoupledAdamW([table_group(table), {"role": "matrix", "params": layer.parameters()}])
    assert len(optimizer.param_groups[1]["params"]) == 2


def test_a_state_of_another_precision_is_converted() -> None:
    (single,), (double,) = tables(), tables(dtype=torch.float64)
    first, second = CoupledAdamW([table_group(single)]), CoupledAdamW([table_group(double)])
    train(first, 2)
    second.load_state_dict(first.state_dict())
    train(second, 1)
    assert second.state[double]["exp_avg_sq"].dtype == torch.float64


def test_a_state_that_does_not_fit_is_refused() -> None:
    (table,) = tables()
    amsgrad = torch.optim.AdamW([table_group(table)], amsgrad=True)
    train(amsgrad, 1)
    ours = CoupledAdamW([table_group(table, side="tied")])
    with pytest.raises(ValueError, match="amsgrad"):
        ours.load_state_dict(amsgrad.state_dict())
    train(ours, 1)
    other = tables()[0]
    groups = [table_group(table, side="input"), table_group(other)]
    both, output = CoupledAdamW(groups, couple="both"), CoupledAdamW(groups)
    train(both, 1)
    with pytest.raises(ValueError, match="couples a table that this one does not"):
        output.load_state_dict(both.state_dict())
    assert not output.state, "nothing is half loaded"


def test_a_parameter_without_a_gradient_is_left_alone() -> None:
    first, second = tables(2)
    optimizer = CoupledAdamW([table_group(first, second)])
    first.grad = torch.ones_like(first)
    start = second.detach().clone()
    optimizer.step()
    assert torch.equal(second, start)
    assert set(optimizer.state) == {first}
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert set(optimizer.state) == {first}


def test_closure_and_schedule() -> None:
    (table,) = tables()
    optimizer = CoupledAdamW([table_group(table)], lr=1.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.0 if step else 1.0)

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = (table**2).sum()
        value.backward()
        return value

    assert float(optimizer.step(loss).detach()) > 0
    schedule.step()
    still = table.detach().clone()
    optimizer.step(loss)
    assert torch.equal(table, still)


def test_what_cannot_be_exact_is_refused_with_the_reason() -> None:
    (table,) = tables()
    group = table_group(table)
    refused: list[tuple[list[Any], dict[str, Any], str]] = [
        ([group], {"amsgrad": True}, "the maximum of a mean"),
        ([group], {"capturable": True}, "CUDA graphs"),
        ([group], {"lr": torch.full((2,), 0.1)}, "1-element"),
        ([table_group(table, side="input")], {}, "has input tables only: set couple: input, or use AdamW"),
        ([{"role": "matrix", "params": [table]}], {}, "no vocabulary table: use AdamW"),
        ([table], {}, r"by_role\(model\)"),
        ([table_group(nn.Parameter(torch.ones(12)))], {}, "flat shards of FSDP1"),
        ([table_group(table, rows=(V + 1,))], {}, "do not fit"),
        ([group, table_group(table)], {}, "more than one parameter group"),
    ]
    for groups, options, reason in refused:
        with pytest.raises(ValueError, match=reason):
            CoupledAdamW(groups, **options)
    optimizer = CoupledAdamW([group])
    table.grad = torch.ones(V, H).to_sparse()
    with pytest.raises(ValueError, match="sparse=False"):
        optimizer.step()


def test_a_loss_without_the_promise_is_warned_of() -> None:
    with pytest.warns(UserWarning, match="does not keep the mean"):
        CoupledAdamW([table_group(*tables(), zero_sum=False)])


def test_a_group_that_joins_later_is_coupled_too() -> None:
    first, second = tables(2)
    optimizer = CoupledAdamW([table_group(first)], lr=0.1)
    optimizer.add_param_group(table_group(second))
    train(optimizer, 2)
    assert optimizer.state[second]["exp_avg_sq"].shape == (1, H)


def test_tensors_in_place_of_numbers_give_the_same_steps() -> None:
    """What runs in a captured graph: the step and the learning rate as tensors."""
    (plain,), (tensors,) = tables(), tables()
    one = CoupledAdamW([table_group(plain)], lr=0.1, table_weight_decay=0.1)
    other = CoupledAdamW([table_group(tensors)], lr=torch.tensor(0.1), table_weight_decay=0.1)
    other.param_groups[0]["capturable"] = True  # past the refusal: on a CPU there is no graph, but the same arithmetic
    train(one, 10)
    train(other, 10)
    torch.testing.assert_close(plain, tensors, rtol=1e-5, atol=1e-6)


COMPARE = """
import torch
from zoo.optim import coupled_adamw as module
torch.manual_seed(0)
rows = tuple(torch.randn(40, 6) for _ in range(3))
copies = tuple(t.clone() for t in rows)
for keep in (1.0, 0.9, 0.8):
    factor = torch.randn(6)
    module._update(rows, factor, keep, 0.1)
    module._compiled_update()(copies, factor, torch.tensor(keep), 0.1)
for eager, compiled in zip(rows, copies):
    torch.testing.assert_close(eager, compiled, rtol=1e-6, atol=1e-6)
half = rows[1].bfloat16()
torch.testing.assert_close(module._compiled_squares()(half), half.float().square().sum(0), rtol=1e-5, atol=1e-5)
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not any(map(shutil.which, (os.environ.get("CXX", "g++"), "clang++"))),
    reason="needs a C++ compiler: compiles kernels",
)
def test_compiled_kernels_equal_eager_ones() -> None:
    """In a process of its own: the compiler cannot look through the type checks of the tests."""
    done = subprocess.run([sys.executable, "-c", COMPARE], capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_fused_trains_the_rest_with_the_fused_kernel() -> None:
    (table,) = tables()
    matrix = nn.Parameter(torch.ones(3, 3))
    optimizer = CoupledAdamW([table_group(table), {"role": "matrix", "params": [matrix]}], fused=True)
    train(optimizer, 2)
    assert optimizer.state[table]["exp_avg_sq"].shape == (1, H)
    assert optimizer.param_groups[1]["fused"] is True
