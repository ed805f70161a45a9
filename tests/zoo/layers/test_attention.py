from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from zoo.contracts import Layout, PackedBatch
from zoo.layers.attention import SelfAttention, packed_attention
from zoo.layers.rotary import rotation

HEADS, HEAD_DIM = 2, 8
LENGTHS = [
    pytest.param([5], id="one"),
    pytest.param([1, 1, 1], id="single-tokens"),
    pytest.param([3, 3, 7, 3, 1, 1], id="runs-of-equal-length"),
]
Make = Callable[..., PackedBatch]
Triple = tuple[Tensor, Tensor, Tensor]


def one_by_one(query: Tensor, key: Tensor, value: Tensor, layout: Layout, window: int | None = None) -> Tensor:
    """Softmax attention with a loop over sequences, heads and queries."""
    out = torch.zeros_like(query)
    offsets = layout.cu_seqlens.tolist()
    for start, end in pairwise(offsets):
        for head in range(query.shape[1]):
            for i in range(start, end):
                first, last = (start, end) if window is None else (max(start, i - window), min(end, i + window + 1))
                seen = slice(first, min(last, i + 1) if layout.causal else last)
                scores = key[seen, head] @ query[i, head] / query.shape[2] ** 0.5
                out[i, head] = scores.softmax(0) @ value[seen, head]
    return out


def inputs(tokens: int, dtype: torch.dtype, grad: bool) -> Triple:
    generator = torch.Generator().manual_seed(0)
    shape = (tokens, HEADS, HEAD_DIM)
    q, k, v = (torch.randn(shape, generator=generator).to(dtype).requires_grad_(grad) for _ in range(3))
    return q, k, v


def doubled(given: Triple) -> Triple:
    """The same numbers in float64 on the CPU."""
    q, k, v = (t.detach().cpu().double().requires_grad_(t.requires_grad) for t in given)
    return q, k, v


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("window", [None, 1, 3])
def test_equals_one_sequence_at_a_time(
    lengths: list[int],
    window: int | None,
    causal: bool,
    dtype: torch.dtype,
    grad: bool,
    make_batch: Make,
    assert_close: Callable[..., None],
) -> None:
    layout = make_batch(lengths).layout(causal=causal)
    given = inputs(sum(lengths), dtype, grad)
    exact = doubled(given)
    actual, expected = packed_attention(*given, layout, window), one_by_one(*exact, layout, window)
    assert_close(actual, expected, dtype)
    if grad:
        direction = torch.randn(actual.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        (actual.double() * direction).sum().backward()
        (expected * direction).sum().backward()
        for a, e in zip(given, exact, strict=True):
            assert a.grad is not None
            assert e.grad is not None
            assert_close(a.grad, e.grad, dtype, scale=1.0)  # those of single tokens are zero


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("window", [None, 64])
def test_long_sequences_in_half_precision_take_the_fused_kernel(
    window: int | None, causal: bool, make_batch: Make, assert_close: Callable[..., None]
) -> None:
    layout = make_batch([513]).layout(causal=causal)
    given = inputs(513, torch.bfloat16, grad=True)
    exact = doubled(given)
    assert_close(packed_attention(*given, layout, window), packed_attention(*exact, layout, window), torch.bfloat16)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU: compares its kernel with the one of the CPU")
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("window", [None, 64])
def test_gpu_equals_cpu(window: int | None, causal: bool, make_batch: Make, assert_close: Callable[..., None]) -> None:
    batch = make_batch([3, 70, 70, 129])
    q, k, v = torch.randn(3, 272, 4, 64, generator=torch.Generator().manual_seed(0)).bfloat16().cuda()
    given = (q.requires_grad_(), k.requires_grad_(), v.requires_grad_())
    exact = doubled(given)
    actual = packed_attention(*given, batch.to("cuda").layout(causal=causal), window)
    expected = packed_attention(*exact, batch.layout(causal=causal), window)
    assert_close(actual.cpu(), expected, torch.bfloat16)
    actual.float().square().sum().backward()
    expected.square().sum().backward()
    for a, e in zip(given, exact, strict=True):
        assert a.grad is not None
        assert e.grad is not None
        assert_close(a.grad.cpu(), e.grad, torch.bfloat16)


def test_a_layer_sees_relative_positions_only(make_batch: Make, assert_close: Callable[..., None]) -> None:
    torch.manual_seed(0)
    layer = SelfAttention(16, HEADS).double()
    x = torch.randn(6, 16, dtype=torch.float64)
    together, apart = make_batch([4, 2]).layout(causal=False), make_batch([4]).layout(causal=False)
    mixed = layer(x, together, rotation(together, HEAD_DIM, 10_000.0))
    assert_close(mixed[:4], layer(x[:4], apart, rotation(apart, HEAD_DIM, 10_000.0)))


def test_without_angles_the_order_of_the_tokens_does_not_matter(
    make_batch: Make, assert_close: Callable[..., None]
) -> None:
    torch.manual_seed(0)
    layer = SelfAttention(6, HEADS).double()  # heads of an odd size are as good
    x, layout = torch.randn(5, 6, dtype=torch.float64), make_batch([5]).layout(causal=False)
    assert_close(layer(x, layout, None).flip(0), layer(x.flip(0), layout, None))


@pytest.mark.parametrize(("width", "heads"), [(16, 0), (16, 3), (6, 4)])
def test_refuses_heads_that_do_not_fit(width: int, heads: int) -> None:
    with pytest.raises(ValueError, match=f"width {width} cannot be split into {heads} heads"):
        SelfAttention(width, heads)
