"""Gradients through more texts than fit at once: each chunk is embedded again when its gradient is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from zoo.contracts import PackedBatch


class Embedded(NamedTuple):
    """Texts that were embedded.

    Args:
        vectors: one a text, (sequences, dim).
        aux_losses: see `EncoderOutput`.
        diagnostics: see `EncoderOutput`.
    """

    vectors: Tensor
    aux_losses: Mapping[str, Tensor]
    diagnostics: Mapping[str, Tensor]


def embed_in_chunks(
    embed: Callable[[PackedBatch], Embedded], batch: PackedBatch, number: int, parameters: Sequence[nn.Parameter]
) -> Embedded:
    """What `embed(batch)` gives, while one chunk's graph exists at a time.

    Chunks are embedded without a graph first. The backward pass embeds each again, with the same random numbers and
    under the same autocast, and adds up the gradients of the parameters. To autograd all this is one operation: a
    parameter has one gradient a step, whatever averages, scales or accumulates it.

    Vectors and their gradients are those of the whole batch. Auxiliary losses and diagnostics are means over chunks,
    weighted by their tokens.

    Args:
        embed: pure but for random numbers, which it takes from torch's global generators.
        batch: the texts.
        number: of chunks.
        parameters: all that `embed` uses and that is trained.

    References:
        Gao et al., Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup, arXiv 2101.06983.
    """
    chunks = _Chunks(embed, batch.split(number))
    vectors, *aux_losses = _GradCache.apply(chunks, *parameters)  # type: ignore[no-untyped-call]
    return Embedded(vectors, dict(zip(chunks.names, aux_losses, strict=True)), chunks.diagnostics)


class _Chunks:
    """Parts of a batch, each of which can be embedded again in the same way."""

    names: list[str]
    diagnostics: dict[str, Tensor]

    def __init__(self, embed: Callable[[PackedBatch], Embedded], parts: list[PackedBatch]) -> None:
        self.embed, self.parts = embed, parts
        self.seeds: list[int] = torch.randint(2**62, (len(parts),)).tolist()
        self.device = parts[0].tokens.device
        self.autocast = torch.is_autocast_enabled(self.device.type), torch.get_autocast_dtype(self.device.type)
        tokens = [len(part.tokens) for part in parts]
        self.shares = [count / sum(tokens) for count in tokens]

    def __len__(self) -> int:
        return len(self.parts)

    def embedded(self, index: int) -> Embedded:
        """Chunk `index`, with random numbers of its own."""
        kind, (enabled, dtype) = self.device.type, self.autocast
        devices, device_type = ([], "cuda") if kind == "cpu" else ([self.device], kind)
        with torch.random.fork_rng(devices, device_type=device_type), torch.autocast(kind, dtype, enabled):
            torch.manual_seed(self.seeds[index])
            return self.embed(self.parts[index])

    def mean(self, scalars: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Means of the chunks' scalars, weighted by tokens."""
        weighted = list(zip(self.shares, scalars, strict=True))
        return {name: torch.stack([share * each[name] for share, each in weighted]).sum() for name in scalars[0]}


class _GradCache(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, chunks: _Chunks, *parameters: nn.Parameter) -> tuple[Tensor, ...]:
        ctx.chunks, ctx.parameters = chunks, parameters
        found = [chunks.embedded(index) for index in range(len(chunks))]
        aux_losses = chunks.mean([each.aux_losses for each in found])
        chunks.names, chunks.diagnostics = list(aux_losses), chunks.mean([each.diagnostics for each in found])
        return torch.cat([each.vectors for each in found]), *aux_losses.values()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, vectors: Tensor, *aux_losses: Tensor) -> tuple[Tensor | None, ...]:
        chunks: _Chunks = ctx.chunks
        totals: list[Tensor | None] = [None] * len(ctx.parameters)
        rows = vectors.split([part.num_sequences for part in chunks.parts])
        for index, share in enumerate(chunks.shares):
            with torch.enable_grad():
                found = chunks.embedded(index)
            outputs = (found.vectors, *found.aux_losses.values())
            gradients = (rows[index], *(share * each for each in aux_losses))
            reached = [pair for pair in zip(outputs, gradients, strict=True) if pair[0].requires_grad]
            new = torch.autograd.grad(
                [output for output, _ in reached],
                ctx.parameters,
                [gradient for _, gradient in reached],
                allow_unused=True,
            )
            for place, gradient in enumerate(new):
                total = totals[place]
                if gradient is None:
                    continue
                # the sum is a tensor of its own, since autograd may give one tensor for two parameters
                totals[place] = gradient.clone() if total is None else total.add_(gradient)
        return None, *totals
