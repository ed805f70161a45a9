"""The text and the shape that all speed measurements share."""

from __future__ import annotations

from dataclasses import dataclass

from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from zoo.data.pydoc_corpus import load_pydoc
from zoo.data.tokenizers import ByteLevelBPE


@dataclass(frozen=True)
class Shape:
    """Sizes of a transformer; the gated feed-forward has 8 D / 3 hidden units, the plain one 4 D."""

    width: int = 256
    layers: int = 4
    heads: int = 4
    vocabulary: int = 8192
    max_length: int = 128


def docstrings(count: int, cache_dir: str | None = None) -> list[str]:
    """`count` docstrings and functions of the standard library, repeated where there are fewer."""
    texts = load_pydoc(["stdlib"], cache_dir).texts("train")
    # a fixed stride mixes modules, so that lengths vary within a batch as they do in a shuffled corpus
    stride = 7919
    return [texts[(i * stride) % len(texts)] for i in range(count)]


def tokenizer_for(texts: list[str], shape: Shape) -> Tokenizer:
    """A byte-level BPE tokenizer of the shape's vocabulary."""
    return ByteLevelBPE(vocab_size=shape.vocabulary).build(texts)


def numbered_words(count: int) -> Tokenizer:
    """A tokenizer of `count` tokens: the special ones, from 0 to 4, and words."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = special + [f"w{i}" for i in range(count - len(special))]
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.add_special_tokens(special)
    return tokenizer
