"""WordPiece, trained on the corpus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from zoo.data.tokenizers.source import TokenizerSource
from zoo.data.tokenizers.special_tokens import SPECIAL_TOKENS, add_document_template, special_tokens_of

_PREFIX = "##"
_SMALLEST = len(SPECIAL_TOKENS) + 2


class WordPiece(TokenizerSource):
    """Word pieces as BERT has them, trained on the corpus: white space is lost, unseen characters become `[UNK]`.

    Args:
        vocab_size: number of tokens, the 5 special ones and all characters of the corpus included; at least 7.
        lowercase: lower-case the text and strip its accents.
        min_frequency: a pair that occurs less often is not merged.
        limit_alphabet: keep only this many of the most frequent characters, so that rare scripts do not fill the
            vocabulary.

    Raises:
        ValueError: if the vocabulary cannot hold the special tokens.

    References:
        Devlin, Chang, Lee, Toutanova, "BERT: Pre-training of Deep Bidirectional Transformers for Language
        Understanding", arXiv:1810.04805, section 3.

    >>> tokenizer = WordPiece(vocab_size=60, min_frequency=1).build(["A text.", "a text again"])
    >>> tokenizer.encode("a Text.").tokens
    ['[CLS]', 'a', 'text', '.', '[SEP]']
    """

    def __init__(
        self, vocab_size: int = 8192, lowercase: bool = True, min_frequency: int = 2, limit_alphabet: int = 1000
    ) -> None:
        if vocab_size < _SMALLEST:
            raise ValueError(f"vocab_size={vocab_size} is too small for WordPiece: set at least {_SMALLEST}")
        self.vocab_size = vocab_size
        self.lowercase = lowercase
        self.min_frequency = min_frequency
        self.limit_alphabet = limit_alphabet

    @property
    def key(self) -> str:
        """Name and arguments."""
        return (
            f"WordPiece(vocab_size={self.vocab_size}, lowercase={self.lowercase}, "
            f"min_frequency={self.min_frequency}, limit_alphabet={self.limit_alphabet})"
        )

    def build(self, texts: Iterable[str]) -> Tokenizer:
        """Train on `texts`."""
        texts = list(texts)
        normalizer = normalizers.BertNormalizer(lowercase=self.lowercase)
        alphabet = self._alphabet(normalizer.normalize_str(text) for text in texts)
        trained = Tokenizer(models.WordPiece(unk_token="[UNK]", continuing_subword_prefix=_PREFIX))
        trained.normalizer = normalizer
        trained.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(
            vocab_size=self.vocab_size,
            min_frequency=self.min_frequency,
            limit_alphabet=len(alphabet),
            initial_alphabet=alphabet,
            # The trainer numbers continuing characters in the order of a hash table with a random seed, and breaks
            # ties between pairs by these numbers: as special tokens they have theirs before it begins.
            special_tokens=[*SPECIAL_TOKENS, *(f"{_PREFIX}{character}" for character in alphabet)],
            continuing_subword_prefix=_PREFIX,
            show_progress=False,
        )
        trained.train_from_iterator(texts, trainer)
        return self._assemble(trained)

    def _alphabet(self, texts: Iterable[str]) -> list[str]:
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(text)
        characters = sorted((c for c in counts if not c.isspace()), key=lambda c: (-counts[c], c))
        # Each character needs two tokens: as the first of a word, and as a later one.
        return sorted(characters[: min(self.limit_alphabet, (self.vocab_size - len(SPECIAL_TOKENS)) // 2)])

    def _assemble(self, trained: Tokenizer) -> Tokenizer:
        """A tokenizer with the vocabulary of `trained` in which only the special tokens are special."""
        vocab = trained.get_vocab(with_added_tokens=True)
        tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]", continuing_subword_prefix=_PREFIX))
        tokenizer.normalizer = trained.normalizer
        tokenizer.pre_tokenizer = trained.pre_tokenizer
        tokenizer.decoder = decoders.WordPiece(prefix=_PREFIX)
        tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
        add_document_template(tokenizer, special_tokens_of(tokenizer))
        return tokenizer
