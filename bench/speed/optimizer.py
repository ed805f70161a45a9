"""A step of the optimizer on a vocabulary table, and a training step, against AdamW and the paper's own order."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from bench.speed.ratio import Timing, time_in_turn
from bench.speed.text import Shape, docstrings, tokenizer_for
from zoo.contracts import PackedBatch
from zoo.embeddings.tied_embedding import TiedEmbedding
from zoo.encoders.dense_encoder import DenseEncoder
from zoo.objectives.causal_lm import CausalLM
from zoo.optim.coupled_adamw import CoupledAdamW
from zoo.optim.groups import by_role

OURS = "CoupledAdamW"
BETAS, EPS, LR = (0.9, 0.95), 1e-8, 1e-3


@dataclass(frozen=True)
class Result:
    """Seconds of a round and bytes of the optimizer's state, by optimizer."""

    timings: dict[str, Timing]
    state_bytes: dict[str, int]


def measure_table(rows: int, width: int, rounds: int = 5, steps: int = 3, device: str = "cpu") -> Result:
    """Time steps on one table of `rows` x `width` in float32, with the same gradient, by each optimizer in turn.

    Args:
        rows: V.
        width: H.
        rounds: counted rounds.
        steps: optimizer steps a round.
        device: such as `cpu` or `cuda`.
    """
    contestants, states = {}, {}
    for name, make in _optimizers(device).items():
        torch.manual_seed(0)
        table = nn.Parameter(torch.randn(rows, width, device=device))
        table.grad = torch.randn(rows, width, device=device) / rows
        optimizer = make(table)
        contestants[name] = _steps(optimizer, steps, device)
        optimizer.step()
        states[name] = sum(_storage(value) for value in optimizer.state[table].values())
    return Result(time_in_turn(contestants, rounds), states)


def measure_training(rounds: int = 5, steps: int = 4, texts_per_batch: int = 32, shape: Shape | None = None) -> Result:
    """Time whole steps of a small tied CausalLM on the CPU: forward, backward, clipping, optimizer.

    Args:
        rounds: counted rounds.
        steps: training steps a round.
        texts_per_batch: texts of a step.
        shape: sizes of the model.
    """
    shape = shape or Shape(vocabulary=8192, width=128, layers=2, heads=4)
    tokenizer = tokenizer_for(docstrings(4000), shape)
    tokenizer.enable_truncation(shape.max_length)
    ids = [encoding.ids for encoding in tokenizer.encode_batch_fast(docstrings(steps * texts_per_batch))]
    batches = [
        PackedBatch.from_sequences(sorted(ids[start : start + texts_per_batch], key=len))
        for start in range(0, len(ids), texts_per_batch)
    ]
    contestants, states = {}, {}
    for name, make in {OURS: CoupledAdamW, "torch AdamW (foreach)": AdamW}.items():
        torch.manual_seed(0)
        model = CausalLM(shape.width, TiedEmbedding, lambda width: DenseEncoder(width, shape.layers, shape.heads))
        model.build(tokenizer, shape.max_length)
        optimizer: Optimizer = make(by_role(model), lr=LR, betas=BETAS)
        contestants[name] = _training_steps(model, optimizer, batches)
        contestants[name]()
        states[name] = sum(_storage(value) for state in optimizer.state.values() for value in state.values())
    return Result(time_in_turn(contestants, rounds), states)


def _optimizers(device: str) -> dict[str, Callable[[nn.Parameter], Optimizer]]:
    def group(table: nn.Parameter) -> list[dict[str, Any]]:
        return [{"role": "vocabulary", "side": "output", "zero_sum": True, "params": [table], "table_rows": [None]}]

    def adamw(**options: bool) -> Callable[[nn.Parameter], Optimizer]:
        return lambda table: AdamW([table], lr=LR, betas=BETAS, eps=EPS, weight_decay=0.0, **options)

    return {
        OURS: lambda table: CoupledAdamW(group(table), lr=LR, fused=device != "cpu"),
        "torch AdamW (foreach)": adamw(foreach=True),
        "torch AdamW (fused)": adamw(fused=True),
        "paper's order (V x H)": lambda table: PaperOrder([table]),
    }


class PaperOrder(Optimizer):
    """Coupled Adam as the paper orders it: a second moment of V x H, averaged over the rows anew each step."""

    def __init__(self, params: list[nn.Parameter]) -> None:
        super().__init__(params, {})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One update."""
        for group in self.param_groups:
            for table in group["params"]:
                self._step(table, table.grad)

    def _step(self, table: Tensor, gradient: Tensor) -> None:
        state = self.state[table]
        if not state:
            state.update(step=0, exp_avg=torch.zeros_like(table), exp_avg_sq=torch.zeros_like(table))
        state["step"] += 1
        first, second = (1 - beta ** state["step"] for beta in BETAS)
        state["exp_avg"].lerp_(gradient, 1 - BETAS[0])
        state["exp_avg_sq"].mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
        shared = state["exp_avg_sq"].mean(0).expand_as(table).clone()
        table.addcdiv_(state["exp_avg"], (shared.sqrt() / math.sqrt(second)).add_(EPS), value=-LR / first)


def _steps(optimizer: Optimizer, steps: int, device: str) -> Callable[[], None]:
    def run() -> None:
        for _ in range(steps):
            optimizer.step()
        if device != "cpu":
            torch.accelerator.synchronize()

    return run


def _training_steps(model: CausalLM, optimizer: Optimizer, batches: list[PackedBatch]) -> Callable[[], None]:
    def run() -> None:
        for batch in batches:
            output, positions, targets = model.predict_tokens(batch, None)
            model.head.loss(output.hidden[positions], targets).loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()

    return run


def _storage(value: Any) -> int:
    """Bytes of a state's tensor: the step is a number on the host and counts for nothing."""
    return value.untyped_storage().nbytes() if isinstance(value, Tensor) and value.ndim else 0
