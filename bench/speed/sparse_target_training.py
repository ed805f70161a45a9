"""A whole training step with very many classes: a factored output table against the exact softmax."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from tokenizers import Tokenizer
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from bench.speed.ratio import Timing, time_in_turn
from bench.speed.text import numbered_words
from zoo.contracts import OutputHead, OutputTable, PackedBatch
from zoo.embeddings.subspace_embedding import SubspaceEmbedding
from zoo.encoders.dense_encoder import DenseEncoder
from zoo.heads.softmax_head import SoftmaxHead
from zoo.heads.sparse_target_head import SparseTargetHead
from zoo.layers.feed_forward import SwiGLU
from zoo.objectives.causal_lm import CausalLM
from zoo.optim.groups import by_role

OURS, SOFTMAX = "SparseTargetHead", "SoftmaxHead (exact, in chunks)"
RATE = 1e-3


@dataclass(frozen=True)
class Setting:
    """Sizes of a model and a batch; the encoder has 5.2 million weights at these.

    Args:
        classes: V.
        width: D.
        layers: blocks of the encoder, with 8 heads each.
        hidden: units of a feed-forward block.
        sequences: of a batch.
        length: of each, in tokens.
    """

    classes: int = 800_000
    width: int = 512
    layers: int = 2
    hidden: int = 1024
    sequences: int = 4
    length: int = 128


@dataclass(frozen=True)
class Result:
    """What was timed.

    Args:
        tokens: of a step.
        encoder_weights: parameters of the encoder.
        timings: of a step, by head.
    """

    tokens: int
    encoder_weights: int
    timings: dict[str, Timing]


def measure(setting: Setting, rounds: int = 3) -> Result:
    """Time steps of a CausalLM in float32: forward, backward, clipping by the global norm, optimizer.

    Under both heads, AdamW trains the encoder and an input of two subspace tables, so that the input costs nothing that
    grows with V, and W is stepped by gradient descent: Adam would need two more tables of V x D under the softmax.

    Args:
        setting: sizes.
        rounds: counted rounds.
    """
    torch.manual_seed(0)
    batch = PackedBatch.from_sequences(
        list(torch.randint(5, setting.classes, (setting.sequences, setting.length)))  # behind the special tokens
    )
    tokenizer = numbered_words(setting.classes)
    ours = _model(setting, tokenizer, partial(SparseTargetHead, lr=RATE))
    softmax = _model(setting, tokenizer, SoftmaxHead)
    timings = time_in_turn({OURS: _steps(ours, batch), SOFTMAX: _steps(softmax, batch)}, rounds)
    weights = sum(parameter.numel() for parameter in ours.encoder.parameters())
    return Result(len(batch.tokens), weights, timings)


def _model(setting: Setting, tokenizer: Tokenizer, head: Callable[[OutputTable], OutputHead]) -> CausalLM:
    model = CausalLM(
        setting.width,
        SubspaceEmbedding,
        lambda width: DenseEncoder(
            width, setting.layers, num_heads=8, feed_forward=partial(SwiGLU, dim=setting.hidden)
        ),
        head,
    )
    model.build(tokenizer, setting.length)
    return model


def _steps(model: CausalLM, batch: PackedBatch) -> Callable[[], None]:
    groups = by_role(model)
    tables = [group for group in groups if group.get("side") == "output"]
    optimizers: list[Optimizer] = [AdamW([group for group in groups if group.get("side") != "output"], lr=RATE)]
    if tables:
        optimizers.append(SGD(tables, lr=RATE))

    def run() -> None:
        output, positions, targets = model.predict_tokens(batch, None)
        model.head.loss(output.hidden[positions], targets).loss.backward()
        _clip(model)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()  # frees V x D numbers before the other head's turn
        model.apply_own_gradients(optimizers[0])

    return run


def _clip(model: CausalLM) -> None:
    """By the norm over all weights, to 1."""
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    norms = [nn.utils.get_total_norm(gradients), *(table.gradient_norm() for table in model.self_updating)]
    factor = (1 / (torch.stack(norms).norm() + 1e-6)).clamp(max=1.0)
    torch._foreach_mul_(gradients, factor)
    for table in model.self_updating:
        table.scale_gradient(factor)
