"""Tokenizer sources: how the tokenizer of a run comes into being."""

from zoo.data.tokenizers.byte_level_bpe import ByteLevelBPE
from zoo.data.tokenizers.pretrained_tokenizer import PretrainedTokenizer
from zoo.data.tokenizers.source import TokenizerSource
from zoo.data.tokenizers.special_tokens import vocabulary_of
from zoo.data.tokenizers.token_bytes import token_bytes
from zoo.data.tokenizers.word_level import WordLevel
from zoo.data.tokenizers.word_piece import WordPiece

__all__ = [
    "ByteLevelBPE",
    "PretrainedTokenizer",
    "TokenizerSource",
    "WordLevel",
    "WordPiece",
    "token_bytes",
    "vocabulary_of",
]
