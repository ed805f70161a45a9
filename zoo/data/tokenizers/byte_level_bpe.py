"""Byte-level byte-pair encoding, trained on the corpus."""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from zoo.data.tokenizers.source import TokenizerSource
from zoo.data.tokenizers.special_tokens import SPECIAL_TOKENS, add_document_template, special_tokens_of

_SMALLEST = len(SPECIAL_TOKENS) + 256


class ByteLevelBPE(TokenizerSource):
    """Byte-pair encoding over bytes, trained on the corpus: loses nothing of a text and has no unknown tokens.

    Args:
        vocab_size: number of tokens, the 5 special ones and 256 bytes included; at least 261.
        min_frequency: a pair that occurs less often is not merged.

    Raises:
        ValueError: if the vocabulary cannot hold the bytes.

    References:
        Sennrich, Haddow, Birch, "Neural Machine Translation of Rare Words with Subword Units", arXiv:1508.07909.

    >>> tokenizer = ByteLevelBPE(vocab_size=300, min_frequency=1).build(["a text", "a text again"])
    >>> tokenizer.encode("a text").tokens
    ['[CLS]', 'a', 'Ġtext', '[SEP]']
    """

    def __init__(self, vocab_size: int = 8192, min_frequency: int = 2) -> None:
        if vocab_size < _SMALLEST:
            raise ValueError(f"vocab_size={vocab_size} is too small for ByteLevelBPE: set at least {_SMALLEST}")
        self.vocab_size = vocab_size
        self.min_frequency = min_frequency

    @property
    def key(self) -> str:
        """Name and arguments."""
        return f"ByteLevelBPE(vocab_size={self.vocab_size}, min_frequency={self.min_frequency})"

    def build(self, texts: Iterable[str]) -> Tokenizer:
        """Train on `texts`."""
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=self.vocab_size,
            min_frequency=self.min_frequency,
            special_tokens=list(SPECIAL_TOKENS),
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        tokenizer.train_from_iterator(texts, trainer)
        add_document_template(tokenizer, special_tokens_of(tokenizer))
        return tokenizer
