from __future__ import annotations

from collections.abc import Callable

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

from bench.models.word_ids import WordIds
from zoo.data.tokenizers import ByteLevelBPE, WordLevel, WordPiece, vocabulary_of

TEXTS = ["the river runs to the Sea and the river is wide", "a river and a café by the sea"] * 3


def words_of(tokenizer: Tokenizer, special: tuple[int, ...] | None = None) -> Callable[..., str | None]:
    """`find(word, leading_space)`: the token of a word as the vocabulary writes it."""
    finder = WordIds(
        lambda text: tokenizer.encode(text, add_special_tokens=False).ids,
        lambda ids: tokenizer.decode(list(ids), skip_special_tokens=False),
        vocabulary_of(tokenizer).special_ids if special is None else special,
    )

    def find(word: str, leading_space: bool) -> str | None:
        found = finder.find(word, leading_space=leading_space)
        return None if found is None else str(tokenizer.id_to_token(found))

    return find


def test_a_space_makes_another_token_of_bytes() -> None:
    find = words_of(ByteLevelBPE(vocab_size=400, min_frequency=1).build([*TEXTS, "the river", "river"]))
    assert find("river", True) == "Ġriver"
    assert find("the", True) == "Ġthe"
    assert find("the", False) == "the"
    assert find("rivers", True) is None
    assert find("unheard", True) is None
    assert find("unheard", False) is None


def test_a_byte_level_tokenizer_that_adds_a_space_has_one_token() -> None:
    tokenizer = ByteLevelBPE(vocab_size=400, min_frequency=1).build(TEXTS)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    find = words_of(tokenizer)
    assert find("river", True) == find("river", False) == "Ġriver"


@pytest.mark.parametrize("leading_space", [True, False])
def test_word_pieces_ignore_spaces_capitals_and_accents_as_the_tokenizer_does(leading_space: bool) -> None:
    find = words_of(WordPiece(vocab_size=200, min_frequency=1).build(TEXTS))
    assert find("river", leading_space) == "river"
    assert find("River", leading_space) == "river"
    assert find("Café", leading_space) == "cafe"
    assert find("riversea", leading_space) is None, "several pieces"
    assert find("日本", leading_space) is None, "unknown"
    cased = words_of(WordPiece(vocab_size=200, lowercase=False, min_frequency=1).build(TEXTS))
    assert cased("Sea", leading_space) == "Sea"
    assert cased("sea", leading_space) == "sea"
    assert cased("RIVER", leading_space) is None


@pytest.mark.parametrize("leading_space", [True, False])
def test_whole_words_are_found_and_unknown_ones_are_not(leading_space: bool) -> None:
    find = words_of(WordLevel().build(TEXTS))
    assert find("river", leading_space) == "river"
    assert find("River", leading_space) is None
    assert find("[SEP]", leading_space) is None


def test_an_unknown_token_that_nobody_calls_special_is_no_word() -> None:
    tokenizer = Tokenizer(models.WordLevel({"<nothing>": 0, "a": 1, "river": 2}, unk_token="<nothing>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    find = words_of(tokenizer, special=())
    assert find("river", True) == "river"
    assert find("sea", True) is None
    assert find("sea", False) is None


def sentence_pieces(*, prepended: bool) -> Tokenizer:
    """Pieces that carry the space in front of them, as public decoders have them."""
    vocab = {"<unk>": 0, "▁": 1, "▁a": 2, "▁river": 3, "river": 4, **{c: 5 + i for i, c in enumerate("aeirv")}}
    tokenizer = Tokenizer(models.Unigram([(piece, -float(i)) for piece, i in vocab.items()], unk_id=0))
    if prepended:
        steps = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        tokenizer.normalizer = normalizers.Sequence(steps)
        tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Strip(" ", 1, 0)])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
        tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    tokenizer.add_special_tokens([AddedToken("<unk>", special=True)])
    return tokenizer


@pytest.mark.parametrize("prepended", [True, False])
def test_pieces_that_carry_their_space_are_one_token_either_way(prepended: bool) -> None:
    find = words_of(sentence_pieces(prepended=prepended), special=(0,))
    assert find("river", True) == "▁river"
    assert find("river", False) == "▁river"
    assert find("rive", True) is None
