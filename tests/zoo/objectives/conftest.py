from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer

from zoo.encoders import DenseEncoder
from zoo.objectives.objective import Objective


@pytest.fixture
def built(tokenizer: Tokenizer) -> Callable[..., Any]:
    """`built(objective_class, **options)`: a small one, with its modules."""

    def make(objective_class: Callable[..., Objective], **options: object) -> Objective:
        torch.manual_seed(0)
        objective = objective_class(
            **{"width": 16, "encoder": partial(DenseEncoder, num_layers=1, num_heads=2), **options}
        )
        objective.build(tokenizer, 32)
        return objective

    return make
