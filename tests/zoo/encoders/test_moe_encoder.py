from __future__ import annotations

import copy
import socket
import sys
import warnings
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn

from zoo.contracts import PackedBatch
from zoo.encoders import MoEEncoder
from zoo.encoders.dense_encoder import Block
from zoo.encoders.moe_encoder import Mixture, MoEBlock
from zoo.layers.feed_forward import GELU, FeedForward
from zoo.layers.moe import GlobalBalance, LossFreeBalance, RunningBalance
from zoo.layers.moe.stacked_linear import StackedLinear
from zoo.optim.groups import by_role

WIDTH, LENGTHS = 16, [3, 3, 1, 5]
Make = Callable[..., PackedBatch]
BALANCES = [GlobalBalance, RunningBalance, LossFreeBalance]


def with_biases(width: int) -> FeedForward:
    return GELU(width, bias=True)


def build(num_layers: int = 2, **options: Any) -> MoEEncoder:
    torch.manual_seed(0)
    return MoEEncoder(WIDTH, num_layers, 2, Mixture(**{"num_experts": 4, "layers": "all", **options})).double()


def inputs(tokens: int = 12, seed: int = 0) -> Tensor:
    return torch.randn(tokens, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("layers", "num_layers", "expected"),
    [
        ("alternate", 1, [0]),
        ("alternate", 3, [0, 2]),
        ("alternate", 12, [1, 3, 5, 7, 9, 11]),
        ("all", 3, [0, 1, 2]),
        ([2, 0], 4, [0, 2]),
    ],
)
def test_where_the_experts_are(layers: Any, num_layers: int, expected: list[int]) -> None:
    encoder = MoEEncoder(WIDTH, num_layers, 2, Mixture(layers=layers))
    assert encoder.numbers == expected
    assert [i for i, block in enumerate(encoder.layers) if isinstance(block, MoEBlock)] == expected
    assert sum(isinstance(block, Block) for block in encoder.layers) == num_layers - len(expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_experts": 0}, "num_experts must be at least 1, not 0"),
        ({"top_k": 5}, r"top_k must lie between 1 and num_experts \(4\), not 5"),
        ({"top_k": 0}, "top_k must lie between 1 and"),
        ({"gates": "normalised", "top_k": 1}, "set gates to straight_through or raw, or top_k above 1"),
        ({"z_weight": -1.0}, "z_weight must be at least 0 and finite, not -1.0"),
        ({"z_weight": float("nan")}, "z_weight must be at least 0 and finite, not nan"),
        ({"layers": []}, "different numbers from 0 to 1, at least one"),
        ({"layers": [2]}, "different numbers from 0 to 1, at least one"),
        ({"layers": [0, 0]}, "different numbers from 0 to 1, at least one"),
        ({"balance": partial(GlobalBalance, weight=-0.1)}, "balance loss must be at least 0 and finite, not -0.1"),
        ({"balance": partial(RunningBalance, momentum=1.0)}, r"momentum must lie in \[0, 1\), not 1.0"),
        ({"balance": partial(LossFreeBalance, rate=0.0)}, "rate must be above 0 and finite, not 0.0"),
    ],
)
def test_what_does_not_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(**options)


@pytest.mark.parametrize("training", [False, True])
def test_gates_that_are_not_finite(training: bool, make_batch: Make) -> None:
    encoder = build().train(training)
    x = inputs()
    x[3] = float("nan")
    with pytest.raises(
        ValueError, match=r"the router of layer 0 gives gates that are not finite: .* lower the learning"
    ):
        encoder(x, make_batch(LENGTHS).layout(causal=False))


@pytest.mark.parametrize("balance", BALANCES)
def test_evaluation_adds_no_loss_and_changes_nothing(balance: Any, make_batch: Make) -> None:
    encoder, layout = build(balance=balance, z_weight=0.1), make_batch(LENGTHS).layout(causal=False)
    for step in range(3):
        encoder.before_step(step)
        encoder(inputs(seed=step), layout)
    before = copy.deepcopy(encoder.state_dict())
    encoder.eval()
    output = encoder(inputs(), layout)
    assert not output.aux_losses
    assert not output.diagnostics
    assert all(torch.equal(tensor, before[name]) for name, tensor in encoder.state_dict().items())
    assert torch.equal(output.hidden, encoder.train()(inputs(), layout).hidden)
    assert not torch.equal(encoder.pending, before["pending"])


@pytest.mark.parametrize("balance", BALANCES)
def test_company_in_the_batch_does_not_matter(
    balance: Any, make_batch: Make, assert_close: Callable[..., None]
) -> None:
    encoder, x = build(balance=balance), inputs()
    together = encoder(x, make_batch(LENGTHS).layout(causal=False)).hidden.split(LENGTHS)
    for part, hidden in zip(x.split(LENGTHS), together, strict=True):
        assert_close(hidden, encoder(part, make_batch([len(part)]).layout(causal=False)).hidden)


@pytest.mark.parametrize("balance", BALANCES)
def test_a_copy_goes_on_where_the_first_one_was(balance: Any, make_batch: Make) -> None:
    """Between two batches, as a resumed run does."""
    first, second = (build(balance=balance) for _ in range(2))
    layout, ends = make_batch(LENGTHS).layout(causal=False), []
    for step in range(3):
        first.before_step(step)
        first(inputs(seed=step), layout)
    second.load_state_dict(first.state_dict())
    for encoder in (first, second):
        for step in (3, 3, 4):  # two batches of one step, and one of the next
            encoder.before_step(step)
            output = encoder(inputs(seed=step), layout)
        ends.append((encoder.state_dict(), output))
    assert all(torch.equal(tensor, ends[1][0][name]) for name, tensor in ends[0][0].items())
    assert torch.equal(ends[0][1].hidden, ends[1][1].hidden)
    assert ends[0][1].aux_losses == ends[1][1].aux_losses
    assert int(first.pending.sum()) == 2 * 12 * 2, "the last step alone waits"


def collapse(encoder: MoEEncoder) -> None:
    """All tokens to the same experts: whatever a router reads, its first numbers are the largest."""
    for block in encoder.layers:
        assert isinstance(block, MoEBlock)
        block.feed_forward_norm = nn.LayerNorm(WIDTH)
        with torch.no_grad():
            block.feed_forward_norm.bias.fill_(1000.0)
            block.feed_forward.router.linear.weight.zero_()[: encoder.mixture.top_k] = 1.0


@pytest.mark.parametrize("top_k", [1, 2])
@pytest.mark.parametrize("start", [0, 7])
def test_a_collapse_is_reported_within_fifty_steps(top_k: int, start: int, make_batch: Make) -> None:
    encoder, layout = build(top_k=top_k, num_experts=8), make_batch([100]).layout(causal=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for step in range(start + 50):
            encoder.before_step(step)
            if step == start:
                assert not caught
                collapse(encoder.float())
            encoder(inputs(100, step).to(encoder.output_norm.weight.dtype), layout)  # type: ignore[arg-type]
    (warning,) = caught
    assert "the experts of layer 0 have collapsed: in 25 steps one took" in str(warning.message)
    assert "raise the weight of mixture.balance, or use LossFreeBalance" in str(warning.message)


def test_diagnostics_say_what_they_should(make_batch: Make) -> None:
    encoder, layout = build(num_experts=8).float(), make_batch([100]).layout(causal=False)
    healthy = encoder(inputs(100).float(), layout).diagnostics
    assert {name.partition("/")[2] for name in healthy} == {
        *("max_load", "load_deviation", "dead_experts", "entropy", "gate_mass")
    }
    assert {name.partition("/")[0] for name in healthy} == {"layer0", "layer1"}
    assert 1 <= healthy["layer1/max_load"] < 4
    assert healthy["layer1/entropy"] > 0.9
    assert 2 / 8 <= healthy["layer1/gate_mass"] < 0.5
    collapse(encoder)
    found = {name: float(value) for name, value in encoder(inputs(100).float(), layout).diagnostics.items()}
    assert found["layer0/max_load"] == 4
    assert found["layer0/dead_experts"] == 6
    assert found["layer0/load_deviation"] == pytest.approx(3**0.5)
    assert found["layer0/gate_mass"] == pytest.approx(1)
    assert found["layer0/entropy"] == pytest.approx(1 / 3)  # two of eight: log 2 / log 8


def test_loads_even_out_without_a_loss(make_batch: Make) -> None:
    encoder = build(1, top_k=1, balance=partial(LossFreeBalance, rate=0.01))
    with torch.no_grad():
        weight = encoder.get_parameter("layers.0.feed_forward.router.linear.weight").normal_(std=0.3)
        weight[0] *= 3
    layout, spreads = make_batch([200]).layout(causal=False), []
    for step in range(60):
        encoder.before_step(step)
        spreads.append(float(encoder(inputs(200), layout).diagnostics["layer0/load_deviation"]))
    assert spreads[-1] < 0.5 * spreads[0]


def test_what_writes_to_the_residual_stream_starts_smaller_and_roles_are_those_of_one_expert() -> None:
    torch.manual_seed(0)
    encoder = MoEEncoder(64, 2, 4, Mixture(layers="all", feed_forward=with_biases, shared=with_biases))
    block = encoder.layers[0]
    assert isinstance(block, MoEBlock)
    mixture = block.feed_forward
    assert mixture.shared is not None
    for part, std in [
        (mixture.router.linear, 0.02),
        (mixture.up, 0.02),
        (mixture.down, 0.01),
        (mixture.shared.down, 0.01),
    ]:
        assert isinstance(part, nn.Linear | StackedLinear)
        assert float(part.weight.detach().std()) == pytest.approx(std, rel=0.1)
    roles = {id(p): group["role"] for group in by_role(encoder) for p in group["params"]}
    for name, parameter in encoder.named_parameters():
        assert roles[id(parameter)] == ("vector" if "bias" in name or "norm" in name else "matrix"), name


# What two processes train on, apart and together.
OPTIONS: dict[str, Any] = {"num_experts": 8, "top_k": 1, "balance": GlobalBalance, "z_weight": 0.1}
TOKENS = 5  # of each process: some experts get none


def step_of(encoder: nn.Module, x: Tensor, step: int) -> dict[str, Tensor]:
    """Gradients and statistics of one step; sequences are as long as the share of a process."""
    inner: Any = encoder.module if isinstance(encoder, nn.parallel.DistributedDataParallel) else encoder
    inner.before_step(step)
    encoder.zero_grad()
    layout = PackedBatch.from_sequences([[0] * TOKENS] * (len(x) // TOKENS)).layout(causal=False)
    output = encoder(x, layout)
    torch.stack([output.hidden.square().mean(), *output.aux_losses.values()]).sum().backward()
    found = {name: parameter.grad.clone() for name, parameter in inner.named_parameters()}
    return {**found, "counts": inner.pending.clone()}


def worker(number: int, port: int, folder: str) -> None:
    """The second process; the test is the first one."""
    train_apart(number + 1, port, folder)


def train_apart(rank: int, port: int, folder: str) -> None:
    limit = timedelta(seconds=120)
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", limit, rank=rank, world_size=2)
    try:
        encoder = nn.parallel.DistributedDataParallel(build(**OPTIONS))
        # one that missed a gradient would stop in the second step
        for step in range(2):
            found = step_of(encoder, inputs(2 * TOKENS, step)[rank * TOKENS :][:TOKENS], step)
        torch.save(found, Path(folder) / f"{rank}.pt")
        dist.barrier()
    finally:
        dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # the processes import this module to find their function, wherever zoo itself is installed
    monkeypatch.setattr(sys, "path", [*sys.path, str(Path(__file__).parents[3])])
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = int(listener.getsockname()[1])
    others = spawn(worker, (port, str(tmp_path)), nprocs=1, join=False)
    train_apart(0, port, str(tmp_path))
    others.join()
    encoder = build(**OPTIONS)
    for step in range(2):
        expected = step_of(encoder, inputs(2 * TOKENS, step), step)
    assert (expected["counts"] == 0).any(), "no expert is unused: the test says nothing"
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt")
        for name, tensor in expected.items():
            assert float((found[name] - tensor).abs().max()) < 1e-12, name
