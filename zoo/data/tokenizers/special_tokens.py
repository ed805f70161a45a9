"""The special tokens: their names, the template that puts them around a document, and how they are found again."""

from __future__ import annotations

from collections.abc import Mapping

from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from zoo.contracts import Vocabulary

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

# What public tokenizers call the same roles; the first name that a tokenizer holds counts.
_NAMES: Mapping[str, tuple[str, ...]] = {
    "pad": ("[PAD]", "<pad>", "<|padding|>", "<|pad|>"),
    "unk": ("[UNK]", "<unk>", "<|unk|>"),
    "cls": ("[CLS]", "<cls>", "<s>", "<bos>", "<|begin_of_text|>"),
    "sep": ("[SEP]", "<sep>", "</s>", "<eos>", "<|end_of_text|>", "<|endoftext|>"),
    "mask": ("[MASK]", "<mask>", "<|mask|>"),
}


def special_tokens_of(tokenizer: Tokenizer) -> dict[str, str]:
    """Name of the token that plays each of the roles pad, unk, cls, sep and mask.

    Raises:
        ValueError: if a role has no token.
    """
    found: dict[str, str] = {}
    for role, candidates in _NAMES.items():
        held = [name for name in candidates if tokenizer.token_to_id(name) is not None]
        if not held:
            raise ValueError(
                f"the tokenizer has no {role} token (looked for {', '.join(candidates)}): "
                f"add one to it, or train one on the corpus with ByteLevelBPE or WordPiece"
            )
        found[role] = held[0]
    return found


def add_document_template(tokenizer: Tokenizer, names: Mapping[str, str]) -> None:
    """Make `tokenizer` encode every document as `[CLS] tokens [SEP]`, whatever these tokens are called."""
    cls, sep = names["cls"], names["sep"]
    ids = [(name, tokenizer.token_to_id(name)) for name in dict.fromkeys((cls, sep))]
    tokenizer.post_processor = TemplateProcessing(single=f"{cls} $A {sep}", special_tokens=ids)


def vocabulary_of(tokenizer: Tokenizer) -> Vocabulary:
    """Size and special ids of `tokenizer`.

    The size is one more than the largest id, so that a table of this many rows holds every token.

    Raises:
        ValueError: if the tokenizer lacks one of the special tokens.
    """
    ids = tokenizer.get_vocab(with_added_tokens=True)
    special = {f"{role}_id": ids[name] for role, name in special_tokens_of(tokenizer).items()}
    fingerprint = Vocabulary.fingerprint_of(tokenizer.to_str())
    return Vocabulary(size=max(ids.values()) + 1, **special, fingerprint=fingerprint)
