"""Self-attention over packed sequences: no pad token, no attention mask."""

from __future__ import annotations

from itertools import groupby

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.contracts import Layout
from zoo.layers.rotary import Rotation, rotate

Heads = Float[Tensor, "tokens heads head_dim"]

# Kernels of variable-length attention exist for these types only.
_VARLEN_DTYPES = (torch.bfloat16, torch.float16)


def packed_attention(query: Heads, key: Heads, value: Heads, layout: Layout, window: int | None = None) -> Heads:
    """`softmax(Q K^T / sqrt(head_dim)) V` inside each sequence of a packed batch.

    On CUDA in half precision one variable-length kernel does the whole batch. Elsewhere sequences of equal length that
    stand side by side are one call, and no token is padded; of those longer than a window all scores are computed.

    Args:
        query: queries of all sequences, end to end.
        key: keys.
        value: values.
        layout: offsets of the sequences and whether attention is causal.
        window: how many tokens a token sees on each side of it that it may see; all of them if None.
    """
    if query.is_cuda and query.dtype in _VARLEN_DTYPES:
        return _varlen_attention(query, key, value, layout, window)
    outputs = []
    runs = [(length, len(list(run))) for length, run in groupby(layout.lengths.tolist())]
    sizes = [length * count for length, count in runs]
    parts = zip(query.split(sizes), key.split(sizes), value.split(sizes), runs, strict=True)
    for q, k, v, (length, count) in parts:
        stacked = [t.unflatten(0, (count, length)).transpose(1, 2) for t in (q, k, v)]
        mixed = _dense_attention(*stacked, causal=layout.causal, window=window)
        outputs.append(mixed.transpose(1, 2).flatten(0, 1))
    return torch.cat(outputs)


def _varlen_attention(query: Heads, key: Heads, value: Heads, layout: Layout, window: int | None) -> Heads:
    from torch.nn.attention.varlen import varlen_attn

    offsets, longest = layout.cu_seqlens, layout.max_seqlen
    side = -1 if window is None else window  # -1: without an end
    sides = (side, 0) if layout.causal else (side, side)
    out = varlen_attn(query, key, value, offsets, offsets, longest, longest, window_size=sides)
    assert isinstance(out, Tensor)
    return out


def _dense_attention(query: Tensor, key: Tensor, value: Tensor, *, causal: bool, window: int | None) -> Tensor:
    length = query.shape[2]
    near = window if window is not None and length > window + 1 else None  # who is seen, where that is not all
    # On a CPU the backward pass of the fused kernel is 1.5 to 2.5 times slower in bfloat16 than plain products
    # (sequences of up to 512 tokens); forward alone and in float32 the fused kernel is the faster one.
    if query.device.type == "cpu" and query.dtype == torch.bfloat16 and query.requires_grad and length <= 512:
        scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
        if causal or near is not None:
            scores = scores.masked_fill(~_visible(length, causal, near, query.device), float("-inf"))
        mixed: Tensor = scores.softmax(-1) @ value
        return mixed
    if near is None:
        return F.scaled_dot_product_attention(query, key, value, is_causal=causal)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=_visible(length, causal, near, query.device))


def _visible(length: int, causal: bool, window: int | None, device: torch.device) -> Bool[Tensor, "queries keys"]:
    """Which keys each query may see."""
    seen = torch.ones(length, length, dtype=torch.bool, device=device)
    if window is not None:
        seen = seen.tril(window).triu(-window)
    return seen.tril() if causal else seen


class SelfAttention(nn.Module):
    """Multi-head self-attention, with rotary positions where it is given angles.

    Args:
        width: D, a multiple of the number of heads.
        num_heads: number of heads.
        bias: whether the two projections have biases.

    Attributes:
        window: how many tokens a token sees on each side; all of its text if None. The positions of a body set it.

    Raises:
        ValueError: if `width` cannot be split into heads.
    """

    window: int | None = None

    def __init__(self, width: int, num_heads: int, bias: bool = False) -> None:
        super().__init__()
        if num_heads < 1 or width % num_heads:
            raise ValueError(f"width {width} cannot be split into {num_heads} heads of one size: change either")
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width, bias=bias)
        self.out = nn.Linear(width, width, bias=bias)

    def forward(
        self, x: Float[Tensor, "tokens dim"], layout: Layout, rotation: Rotation | None
    ) -> Float[Tensor, "tokens dim"]:
        """Mix the tokens of each sequence; queries and keys are rotated by `rotation` unless it is None."""
        qkv = self.qkv(x).unflatten(-1, (3 * self.num_heads, -1))
        # queries and keys are rotated in one go: they lie side by side
        query_key, value = qkv.split((2 * self.num_heads, self.num_heads), dim=1)
        rotated = query_key if rotation is None else rotate(query_key, rotation)
        query, key = rotated.chunk(2, dim=1)
        mixed: Tensor = self.out(packed_attention(query, key, value, layout, self.window).flatten(1))
        return mixed
