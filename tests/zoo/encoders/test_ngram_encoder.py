from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch

from zoo.contracts import PackedBatch
from zoo.encoders import NGramEncoder

Make = Callable[..., PackedBatch]
D = 6


@pytest.mark.parametrize("context", [1, 3, 20])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_equals_the_definition(context: int, num_layers: int, make_batch: Make) -> None:
    torch.manual_seed(0)
    encoder = NGramEncoder(D, context, 10, num_layers).double()
    layout = make_batch([1, 7, 3]).layout(causal=True)
    x = torch.randn(11, D, dtype=torch.float64)
    found = encoder(x, layout).hidden
    weights = encoder.state_dict()
    bounds = layout.cu_seqlens.tolist()
    expected = []
    for start, end in itertools.pairwise(bounds):
        for token in range(start, end):
            seen = [x[t] if t >= start else torch.zeros_like(x[0]) for t in range(token - context + 1, token + 1)]
            hidden = torch.cat(seen)
            for layer in range(num_layers):
                hidden = (weights[f"layers.{layer}.weight"] @ hidden + weights[f"layers.{layer}.bias"]).clamp(min=0)
            expected.append(weights["output.weight"] @ hidden + weights["output.bias"])
    torch.testing.assert_close(found, torch.stack(expected), rtol=0, atol=1e-13)


@pytest.mark.parametrize("option", ["context", "hidden", "num_layers"])
def test_options_out_of_range(option: str) -> None:
    with pytest.raises(ValueError, match=f"{option} must be at least 1, not 0"):
        NGramEncoder(D, **{option: 0})


def test_refuses_a_layout_of_both_sides(make_batch: Make) -> None:
    with pytest.raises(ValueError, match="NGramEncoder sees the left side only: use CausalLM as objective"):
        NGramEncoder(D)(torch.zeros(3, D), make_batch([3]).layout(causal=False))
