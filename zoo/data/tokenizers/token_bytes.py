"""How many bytes of text each token stands for: the denominator of bits per byte."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from zoo.data.tokenizers.special_tokens import vocabulary_of
from zoo.data.tokenizers.word_level import LINE_END

_BYTE_TOKEN = re.compile(r"<0x[0-9A-F]{2}>")


def token_bytes(tokenizer: Tokenizer) -> NDArray[np.int64]:
    """UTF-8 bytes of text that each token id stands for; 0 for special tokens, `[UNK]` included.

    By kind of tokenizer:

    - byte-level: one byte for each symbol of the token. The counts of a text add up to its UTF-8 size exactly.
    - word pieces: the bytes of the piece (without its `##`), and one for the space before a piece that begins a word
      with a letter or digit. White space is not kept by such tokenizers, so the sum is the size of the text with single
      spaces before words only, after lower-casing where the tokenizer does that.
    - word level: the bytes of the word and one for the space after it; a line end (`<eos>`) is one byte. The sum is the
      size of the text with single spaces.
    - sentence pieces: the bytes of the piece, where a word mark (U+2581) and a `<0x0A>` token are one byte each.

    Returns:
        int64, shape (size of the vocabulary,).
    """
    vocabulary = vocabulary_of(tokenizer)
    measure = _measure_of(tokenizer)
    special = {token for token, added in _added(tokenizer).items() if added}
    sizes = np.zeros(vocabulary.size, dtype=np.int64)
    for token, index in tokenizer.get_vocab(with_added_tokens=True).items():
        if token not in special:
            sizes[index] = measure(token)
    sizes[list(vocabulary.special_ids)] = 0
    return sizes


def _added(tokenizer: Tokenizer) -> dict[str, bool]:
    return {added.content: added.special for added in tokenizer.get_added_tokens_decoder().values()}


def _measure_of(tokenizer: Tokenizer) -> Callable[[str], int]:
    state = json.loads(tokenizer.to_str())
    model = state["model"]
    if '"ByteLevel"' in json.dumps([state["pre_tokenizer"], state["normalizer"]]):
        return _byte_level(set(_added(tokenizer)))
    if model["type"] == "WordPiece":
        return _word_piece(model["continuing_subword_prefix"])
    if model["type"] == "WordLevel":
        return lambda token: 1 if token == LINE_END else len(token.encode()) + 1
    return _sentence_piece


def _byte_level(added: set[str]) -> Callable[[str], int]:
    # An added token is matched in the text as it is; every other one is written in the alphabet of one symbol a byte.
    return lambda token: len(token.encode()) if token in added else len(token)


def _word_piece(prefix: str) -> Callable[[str], int]:
    def measure(token: str) -> int:
        if token.startswith(prefix) and len(token) > len(prefix):
            return len(token[len(prefix) :].encode())
        return len(token.encode()) + int(token[0].isalnum())

    return measure


def _sentence_piece(token: str) -> int:
    return 1 if _BYTE_TOKEN.fullmatch(token) else len(token.replace("\u2581", " ").encode())
