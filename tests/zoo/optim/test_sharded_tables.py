"""Four processes of gloo give what one gives, and exchange H numbers a table."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.multiprocessing.spawn import spawn
from torch.nn import functional as F

from zoo.optim import CenteredAdamW, CoupledAdamW
from zoo.optim.groups import by_role
from zoo.optim.table_rows import TableRows, sums

H, STEPS = 6, 5
OPTIMIZERS: dict[str, Any] = {"coupled": CoupledAdamW, "centered": CenteredAdamW}
CASES = (
    ("ddp", 10, "coupled"),
    ("fsdp", 12, "coupled"),
    ("fsdp", 10, "coupled"),  # does not divide
    ("fsdp", 3, "coupled"),  # fewer rows than processes
    ("hsdp", 10, "coupled"),
    ("fsdp", 10, "centered"),
)


class Model(nn.Module):
    """A table that scores a body's vectors."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Linear(H, H)
        self.head = Head(rows)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))  # type: ignore[no-any-return]


class Head(nn.Module):
    parameter_role = "vocabulary"
    vocabulary_side = "output"
    zero_sum = True

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(rows, H))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight)


def batch(rows: int, step: int) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(step)
    return torch.randn(12, H, generator=random), torch.randint(rows, (12,), generator=random)


def train(model: nn.Module, rows: int, optimizer: torch.optim.Optimizer, part: slice, steps: range) -> None:
    for step in steps:
        optimizer.zero_grad()
        x, y = batch(rows, step)
        F.cross_entropy(model(x[part]), y[part]).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()


def whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def worker(rank: int, world: int, port: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world)
    try:
        for case in CASES:
            state = train_apart(rank, world, *case)
            if rank == 0:
                torch.save(state, Path(folder) / f"{'-'.join(map(str, case))}.pt")
        dist.barrier()
    finally:
        dist.destroy_process_group()


def train_apart(rank: int, world: int, kind: str, rows: int, name: str) -> dict[str, Tensor]:
    """Parameters after training on a part of each batch, with a save and a load in the middle."""
    model: nn.Module = Model(rows)
    if kind == "ddp":
        model = nn.parallel.DistributedDataParallel(model)
    else:
        shape, names = ((world,), ("shard",)) if kind == "fsdp" else ((2, world // 2), ("replicate", "shard"))
        fully_shard(model, mesh=init_device_mesh("cpu", shape, mesh_dim_names=names))
    part = slice(rank * 12 // world, (rank + 1) * 12 // world)
    optimizer = OPTIMIZERS[name](by_role(model), lr=0.05)
    train(model, rows, optimizer, part, range(3))
    saved = optimizer.state_dict()
    optimizer = OPTIMIZERS[name](by_role(model), lr=0.05)
    optimizer.load_state_dict(saved)
    with count_calls() as calls:
        train(model, rows, optimizer, part, range(3, STEPS))
    if kind == "fsdp" and name == "coupled":
        assert calls == [H] * (STEPS - 3), f"one exchange of H numbers a step, not {calls}"
    return {name: whole(p).detach() for name, p in model.named_parameters()}


@contextmanager
def count_calls() -> Iterator[list[int]]:
    """Size of each all-reduce that is asked for by name, which leaves out those of the wrappers themselves."""
    calls: list[int] = []
    original = dist.all_reduce

    def counted(tensor: Tensor, *arguments: Any, **options: Any) -> Any:
        calls.append(tensor.numel())
        return original(tensor, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.distributed, "all_reduce", counted)
        yield calls


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.mark.slow
def test_processes_equal_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # the processes import this module to find their function, wherever zoo itself is installed
    monkeypatch.setattr(sys, "path", [*sys.path, str(Path(__file__).parents[3])])
    spawn(worker, (4, free_port(), str(tmp_path)), nprocs=4)
    for kind, rows, name in CASES:
        alone = Model(rows)
        train(alone, rows, OPTIMIZERS[name](by_role(alone), lr=0.05), slice(0, 12), range(STEPS))
        found = torch.load(tmp_path / f"{kind}-{rows}-{name}.pt")
        for parameter_name, parameter in alone.named_parameters():
            key = f"module.{parameter_name}" if kind == "ddp" else parameter_name
            case = f"{kind} {rows} {name} {key}"
            torch.testing.assert_close(found[key], parameter.detach(), rtol=0, atol=1e-6, msg=case)


@pytest.fixture
def one_process() -> Any:
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{free_port()}", rank=0, world_size=1)
    yield init_device_mesh("cpu", (1, 1))
    dist.destroy_process_group()


def test_shards_of_columns_and_tables(one_process: Any) -> None:
    values = torch.randn(10, H)
    table = distribute_tensor(values, one_process, [Shard(0), Shard(1)])
    rows = TableRows(table, (4, 5))
    expected = torch.stack([values[:4].mean(0), values[4:9].mean(0)])
    mean = rows.mean(table, sums)
    torch.testing.assert_close(mean, expected)
    state = rows.like_columns(mean, table)
    assert isinstance(state, DTensor)
    assert state.placements == (Replicate(), Shard(1))


def test_other_shards_are_refused(one_process: Any) -> None:
    with pytest.raises(ValueError, match="shard its rows on one axis"):
        TableRows(distribute_tensor(torch.randn(4, 4), one_process, [Shard(0), Shard(0)]))


def test_a_state_that_is_not_sharded_is_refused(one_process: Any) -> None:
    def group(table: nn.Parameter) -> dict[str, Any]:
        return {"role": "vocabulary", "side": "output", "zero_sum": True, "params": [table], "table_rows": [None]}

    plain = nn.Parameter(torch.randn(6, H))
    sharded = nn.Parameter(distribute_tensor(torch.randn(6, H), one_process, [Shard(0), Replicate()]))
    saved = CoupledAdamW([group(plain)])
    plain.grad = torch.randn(6, H)
    saved.step()
    with pytest.raises(ValueError, match="not sharded alike"):
        CoupledAdamW([group(sharded)]).load_state_dict(saved.state_dict())
