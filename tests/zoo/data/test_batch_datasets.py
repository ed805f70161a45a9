from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from zoo.data.batch_datasets import TextPairs, TextWindows
from zoo.data.token_cache import open_token_cache


@pytest.mark.parametrize("max_length", [8, 9, 16, 50])
def test_windows_lose_no_token(tmp_path: Path, word_tokenizer: Tokenizer, max_length: int) -> None:
    texts = ["a b c d e f g h i j k l m n o p q r s t u v w x y z "[: 2 * n] for n in range(27)]
    cache = open_token_cache(tmp_path / "c", texts, word_tokenizer, "texts")
    windows = TextWindows(cache, max_length)
    assert windows.num_empty == 1
    cls, sep = word_tokenizer.encode("").ids
    found: dict[int, list[int]] = {}
    for index, text in enumerate(windows.texts.tolist()):
        tokens = windows[[index]].tokens.tolist()
        assert tokens[0] == cls
        assert len(tokens) + (tokens[-1] != sep) > 2
        assert len(tokens) == windows.lengths[index] <= max_length
        found.setdefault(text, []).extend(tokens[1:])
    for text, tokens in found.items():
        body = word_tokenizer.encode(texts[text]).ids[1:]
        assert tokens in (body, body[:-1]), "[SEP] is left out only where it would stand alone"
        assert tokens == body or (len(body) - 1) % (max_length - 1) == 0


def test_windows_are_packed(tmp_path: Path, word_tokenizer: Tokenizer) -> None:
    cache = open_token_cache(tmp_path / "c", ["a b c", "d e f g"], word_tokenizer, "texts")
    batch = TextWindows(cache, 16)[[1, 0]]
    assert batch.cu_seqlens.tolist() == [0, 6, 11]
    assert batch.cu_seqlens.dtype == torch.int32
    assert batch.tokens.dtype == torch.int64
    assert batch.max_seqlen == 6
    assert word_tokenizer.decode(batch.tokens.tolist()) == "d e f g a b c"


def test_pairs_are_cut_off_and_counted(tmp_path: Path, word_tokenizer: Tokenizer) -> None:
    queries = open_token_cache(tmp_path / "q", ["a", "", "b c", "d"], word_tokenizer, "queries")
    documents = open_token_cache(tmp_path / "d", ["x " * 20, "y", "z", " "], word_tokenizer, "documents")
    pairs = TextPairs(queries, documents, 8)
    assert (len(pairs), pairs.num_empty, pairs.num_truncated) == (2, 2, 1)
    assert pairs.lengths.tolist() == [11, 7]
    batch = pairs[[0, 1]]
    assert batch.documents.layout(causal=False).lengths.tolist() == [8, 3]
    assert batch.documents.tokens[7] == word_tokenizer.token_to_id("[SEP]")
    assert word_tokenizer.decode(batch.queries.tokens.tolist()) == "a b c"
    assert np.array_equal(pairs.rows, [0, 2])
