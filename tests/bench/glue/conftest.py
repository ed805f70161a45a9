from __future__ import annotations

import copy
import hashlib
import random
from collections.abc import Callable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from bench.glue.data import Rows
from bench.glue.transformer_body import TransformerBody
from bench.glue.zoo_body import ZooBody
from zoo.embeddings import SubspaceEmbedding
from zoo.encoders import DenseEncoder
from zoo.objectives import Contrastive

WORDS = [first + second for first in "bcdfgklmnprstvz" for second in ("a", "e", "i", "o")]


@pytest.fixture
def objective(tokenizer: Tokenizer) -> Contrastive:
    torch.manual_seed(0)
    objective = Contrastive(width=16, encoder=partial(DenseEncoder, num_layers=1, num_heads=2))
    objective.build(tokenizer, 24)
    return objective


@pytest.fixture
def zoo_body(objective: Contrastive) -> ZooBody:
    return ZooBody(objective)


@pytest.fixture
def short_tables_body(tokenizer: Tokenizer) -> ZooBody:
    """Of a model with short tables and own rows."""
    torch.manual_seed(0)
    encoder = partial(DenseEncoder, num_layers=1, num_heads=2)
    objective = Contrastive(width=16, embedding=partial(SubspaceEmbedding, own_rows=9), encoder=encoder)
    objective.build(tokenizer, 24)
    return ZooBody(objective)


@pytest.fixture
def make_transformer(tokenizer: Tokenizer) -> Callable[..., SimpleNamespace]:
    """`make_transformer(dropout=0.1)`: the first module of a sentence-transformers model, as far as a body looks."""
    return partial(_transformer, tokenizer)


@pytest.fixture
def transformer(make_transformer: Callable[..., SimpleNamespace]) -> SimpleNamespace:
    return make_transformer()


def _transformer(tokenizer: Tokenizer, dropout: float = 0.1) -> SimpleNamespace:
    torch.manual_seed(0)
    own = Tokenizer.from_str(tokenizer.to_str())
    special = [(name, own.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    own.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=special
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=own,
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )
    config = BertConfig(
        vocab_size=65,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    return SimpleNamespace(auto_model=BertModel(config), tokenizer=fast, max_seq_length=24)


@pytest.fixture
def transformer_body(transformer: SimpleNamespace) -> TransformerBody:
    return TransformerBody(transformer)


@pytest.fixture
def make_table() -> Callable[..., Dataset]:
    """`make_table(count, seed=0, columns=("sentence",), regression=False, test=False)`: a table of GLUE.

    The words of a class stand in one half of the alphabet, so it can be learnt.
    """

    def make(
        count: int,
        seed: int = 0,
        columns: Sequence[str] = ("sentence",),
        *,
        regression: bool = False,
        test: bool = False,
    ) -> Dataset:
        rng = random.Random(seed)
        labels: list[Any] = [rng.randrange(2) for _ in range(count)]
        halves = [WORDS[30:], WORDS[:30]]
        texts = [[" ".join(rng.choices(halves[label], k=rng.randrange(1, 8))) for _ in columns] for label in labels]
        if regression:
            labels = [4.5 * label + 0.3 * rng.random() for label in labels]
        if test:
            labels = [-1.0 if regression else -1] * count
        data = {column: [row[i] for row in texts] for i, column in enumerate(columns)}
        return Dataset.from_dict({**data, "label": labels, "idx": list(range(count))})

    return make


@pytest.fixture
def make_rows(make_table: Callable[..., Dataset]) -> Callable[..., Rows]:
    """The same as `Rows`."""

    def make(count: int, seed: int = 0, columns: Sequence[str] = ("sentence",), **more: Any) -> Rows:
        table = make_table(count, seed, columns, **more)
        texts = list(zip(*(table[column] for column in columns), strict=True))
        sha256 = hashlib.sha256(repr(texts).encode()).hexdigest()
        return Rows(texts, np.array(table["label"]), np.array(table["idx"]), sha256)

    return make


@pytest.fixture
def weights_of() -> Callable[[torch.nn.Module], dict[str, torch.Tensor]]:
    return lambda module: copy.deepcopy(module.state_dict())
