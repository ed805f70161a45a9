from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] a b c red green blue horse cat dog the is"


@pytest.fixture
def new_cross_encoder(tmp_path: Path) -> Callable[..., Path]:
    """`new_cross_encoder(outputs=1, saved_by="transformers", seed=0)`: folder of a tiny one with random weights."""

    def make(outputs: int = 1, saved_by: str = "transformers", seed: int = 0, where: str = "tiny") -> Path:
        import torch
        from sentence_transformers import CrossEncoder
        from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

        folder = tmp_path / where
        folder.mkdir()
        (folder / "vocab.txt").write_text(WORDS.replace(" ", "\n"))
        torch.manual_seed(seed)
        config = BertConfig(
            vocab_size=len(WORDS.split()),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            num_labels=outputs,
            max_position_embeddings=16,
            initializer_range=1.0,
        )
        BertForSequenceClassification(config).save_pretrained(folder)
        BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
        if saved_by == "transformers":
            return folder
        CrossEncoder(str(folder)).save_pretrained(str(tmp_path / f"{where}-st"))
        return tmp_path / f"{where}-st"

    return make
