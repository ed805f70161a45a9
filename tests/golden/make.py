"""Losses of the first 20 steps of each variant, kept as text: `python tests/golden/make.py` writes the files again.

Run it only when a change of the numbers is meant, and say in the changelog why they changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo.contracts import PackedBatch
from zoo.data.tokenizers import WordLevel
from zoo.embeddings import FullEmbedding, TiedEmbedding
from zoo.encoders import DenseEncoder, MoEEncoder, NGramEncoder
from zoo.encoders.moe_encoder import Mixture
from zoo.heads import AdaptiveSoftmaxHead, SampledSoftmaxHead, SparseTargetHead
from zoo.heads.sparse_target import SquaredError
from zoo.layers.feed_forward import GELU, GeGLU
from zoo.layers.moe import RunningBalance
from zoo.objectives import BagOfWords, CausalLM, Contrastive, InfoNCE, MaskedLM
from zoo.objectives.objective import Objective
from zoo.optim import CenteredAdamW, CoupledAdamW, WarmupCosine, WarmupLinear, WarmupStableDecay
from zoo.optim.groups import by_role

FOLDER = Path(__file__).resolve().parent
STEPS, WIDTH, RATE = 20, 16, 0.03
ENCODER = partial(DenseEncoder, num_layers=2, num_heads=2)
MIXTURE = Mixture(4, 2, shared=GELU, gates="straight_through", balance=RunningBalance, z_weight=0.01)

# name of the file -> objective and what differs from its defaults
VARIANTS: dict[str, tuple[Callable[..., Objective], dict[str, Any]]] = {
    "masked-lm": (MaskedLM, {}),
    "masked-lm-tied": (MaskedLM, {"embedding": TiedEmbedding}),
    "masked-lm-post-norm": (MaskedLM, {"encoder": partial(ENCODER, norm="post")}),
    "masked-lm-gelu": (MaskedLM, {"encoder": partial(ENCODER, feed_forward=GELU)}),
    "masked-lm-geglu": (MaskedLM, {"encoder": partial(ENCODER, feed_forward=GeGLU)}),
    "masked-lm-moe": (MaskedLM, {"encoder": partial(MoEEncoder, num_layers=2, num_heads=2, mixture=MIXTURE)}),
    "masked-lm-linear": (MaskedLM, {"schedule": WarmupLinear}),
    "masked-lm-stable-decay": (MaskedLM, {"schedule": WarmupStableDecay}),
    "causal-lm": (CausalLM, {"embedding": FullEmbedding, "schedule": WarmupCosine}),
    "masked-lm-coupled": (MaskedLM, {"optimizer": partial(CoupledAdamW, lr=RATE)}),
    "causal-lm-tied-coupled": (CausalLM, {"embedding": TiedEmbedding, "optimizer": partial(CoupledAdamW, lr=RATE)}),
    "causal-lm-tied-centered": (CausalLM, {"embedding": TiedEmbedding, "optimizer": partial(CenteredAdamW, lr=RATE)}),
    "causal-lm-ngram": (CausalLM, {"encoder": partial(NGramEncoder, hidden=24)}),
    "causal-lm-sampled": (CausalLM, {"head": partial(SampledSoftmaxHead, num_samples=12)}),
    "causal-lm-adaptive": (CausalLM, {"head": AdaptiveSoftmaxHead}),
    "causal-lm-sparse-target": (CausalLM, {"head": partial(SparseTargetHead, lr=1.0)}),
    "bag-of-words": (BagOfWords, {}),
    "bag-of-words-squared": (BagOfWords, {"head": partial(SparseTargetHead, loss=SquaredError, lr=0.02)}),
    "contrastive": (Contrastive, {}),
    "contrastive-both": (Contrastive, {"loss": partial(InfoNCE, learn_temperature=True, bidirectional=True)}),
}


@contextmanager
def double_precision() -> Iterator[None]:
    """Float64 and one thread, so that machines agree."""
    before, threads = torch.get_default_dtype(), torch.get_num_threads()
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
        torch.set_num_threads(threads)


def batch(words: int, seed: int) -> PackedBatch:
    """Sequences in which each token but the first follows from the one before."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(2, 12, (24,), generator=generator).tolist()
    starts = torch.randint(words, (24,), generator=generator).tolist()
    return PackedBatch.from_sequences(
        [[5 + (start + 7 * i) % words for i in range(n)] for n, start in zip(lengths, starts, strict=True)]
    )


def loss_of(objective: Objective, words: int, step: int) -> Tensor:
    """The loss of one training step, without a trainer."""
    text = batch(words, step)
    if isinstance(objective, Contrastive):
        loss: Tensor = objective.loss(objective.embed(text), objective.embed(batch(words, step + 1000)))[0]
        return loss
    if isinstance(objective, BagOfWords):
        return objective.bag_loss(text, objective.encode(objective.mask(text), causal=False)).loss
    assert isinstance(objective, MaskedLM | CausalLM)
    output, positions, targets = objective.predict_tokens(text, torch.Generator().manual_seed(step))
    loss = objective.head.loss(output.hidden[positions], targets).loss
    return torch.stack([loss, *output.aux_losses.values()]).sum()


def losses(name: str) -> list[float]:
    """Losses of the first steps of a variant."""
    words = [first + second for first in "bcdfghjk" for second in "aeiou"]
    make, options = VARIANTS[name]
    with double_precision():
        torch.manual_seed(0)
        objective = make(**{"width": WIDTH, "encoder": ENCODER, **options})
        objective.build(WordLevel().build([" ".join(words)]), 32)
        if isinstance(objective, BagOfWords):
            objective.use_counts(batch(len(words), 0).tokens.bincount(minlength=objective.vocabulary.size))
        optimizer = options.get("optimizer", partial(torch.optim.AdamW, lr=RATE))(by_role(objective))
        schedule = options.get("schedule", WarmupCosine)(optimizer, STEPS, warmup=5.0)
        found = []
        for step in range(STEPS):
            objective.encoder.before_step(step)
            loss = loss_of(objective, len(words), step)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            objective.apply_own_gradients(optimizer)
            schedule.step()
            found.append(loss.item())
    return found


def main() -> None:
    """Write all files."""
    for name in VARIANTS:
        (FOLDER / f"{name}.txt").write_text("".join(f"{loss:.12f}\n" for loss in losses(name)), encoding="utf-8")


if __name__ == "__main__":
    main()
