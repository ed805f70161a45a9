"""Whole words between white space, for corpora that come as words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

from zoo.data.tokenizers.source import TokenizerSource
from zoo.data.tokenizers.special_tokens import SPECIAL_TOKENS, add_document_template, special_tokens_of

LINE_END = "<eos>"


class WordLevel(TokenizerSource):
    r"""One token for each word between white space and `<eos>` for each line end, as word-level corpora are counted.

    Words get ids by falling frequency, ties in alphabetical order, after the 5 special tokens. A corpus with a closed
    vocabulary keeps its own marks: WikiText-2 has 33,278 types, `<unk>` and `<eos>` among them, which makes a
    vocabulary of 33,283 here. Its `<unk>` is an ordinary word that is predicted and scored as the published
    perplexities do; `[UNK]` is left for words that training never saw, which there are none of.

    Args:
        vocab_size: number of tokens, the 5 special ones included; the least frequent words become `[UNK]`. None keeps
            every word.

    Raises:
        ValueError: if the vocabulary cannot hold the special tokens.

    >>> tokenizer = WordLevel().build(["a word\n", "a line\n"])
    >>> tokenizer.encode("a new line\n").tokens
    ['[CLS]', 'a', '[UNK]', 'line', '<eos>', '[SEP]']
    """

    def __init__(self, vocab_size: int | None = None) -> None:
        if vocab_size is not None and vocab_size <= len(SPECIAL_TOKENS):
            raise ValueError(
                f"vocab_size={vocab_size} is too small for WordLevel: set at least 6, or null for all words"
            )
        self.vocab_size = vocab_size

    @property
    def key(self) -> str:
        """Name and arguments."""
        return f"WordLevel(vocab_size={self.vocab_size})"

    def build(self, texts: Iterable[str]) -> Tokenizer:
        """Count the words of `texts`."""
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(text.replace("\n", f" {LINE_END} ").split())
        words = sorted((word for word in counts if word not in SPECIAL_TOKENS), key=lambda word: (-counts[word], word))
        kept = [*SPECIAL_TOKENS, *words][: self.vocab_size]
        vocab = {word: index for index, word in enumerate(kept)}
        tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
        tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
        tokenizer.normalizer = normalizers.Replace("\n", f" {LINE_END} ")
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"\s+"), "removed")
        add_document_template(tokenizer, special_tokens_of(tokenizer))
        return tokenizer
