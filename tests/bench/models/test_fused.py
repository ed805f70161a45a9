from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel

from bench.models.fused import PackedLinear, optimize


@pytest.mark.parametrize(("dtype", "packed"), [(torch.float32, 2), (torch.bfloat16, 13)])
def test_the_network_gives_the_same_with_packed_layers(dtype: torch.dtype, packed: int) -> None:
    if dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("this processor has no products in bfloat16")
    torch.manual_seed(0)
    config = BertConfig(vocab_size=10, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)
    network = BertModel(config).eval().to(dtype)
    ids = torch.tensor([[1, 2, 3], [4, 5, 6]])
    with torch.inference_mode():
        expected = network(ids).last_hidden_state
        optimize(network)
        found = network(ids).last_hidden_state
    assert sum(isinstance(module, PackedLinear) for module in network.modules()) == packed
    assert found.dtype == dtype
    torch.testing.assert_close(found, expected, atol=1e-6 if dtype == torch.float32 else 0.05, rtol=0)


def test_another_activation_is_left_alone() -> None:
    config = BertConfig(
        vocab_size=10,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        hidden_act="gelu_new",
    )
    network = BertModel(config)
    optimize(network)
    assert not any(isinstance(module, PackedLinear) for module in network.modules())
    assert isinstance(network.encoder.layer[0].intermediate.dense, nn.Linear)
