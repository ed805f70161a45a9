from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer

from zoo.contracts import PairView
from zoo.encode import TextEncoder
from zoo.encoders import DenseEncoder
from zoo.objectives import Contrastive, MaskedLM


@pytest.fixture
def make_encoder(tokenizer: Tokenizer) -> Callable[..., TextEncoder]:
    """`make_encoder(masked=False, tokenizer=..., embedding=..., **options of DenseEncoder)`: all numbers random."""

    def make(masked: bool = False, tokens: Tokenizer = tokenizer, **options: Any) -> TextEncoder:
        outside: dict[str, Any] = {name: options.pop(name) for name in ("embedding", "width") if name in options}
        torch.manual_seed(0)

        def body(width: int) -> DenseEncoder:
            return DenseEncoder(width, **{"num_layers": 2, "num_heads": 2, **options})

        settings: dict[str, Any] = {"width": 16, "encoder": body, **outside}
        if masked:
            objective: Contrastive | MaskedLM = MaskedLM(**settings)
        else:
            objective = Contrastive(**settings, prefixes=PairView("ba ", "da be "))
        objective.build(tokens, 20)
        for parameter in objective.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
        return TextEncoder(objective, "m", device="cpu")

    return make
