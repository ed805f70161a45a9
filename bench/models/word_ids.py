"""Which words are single tokens."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Sequence

_BEFORE = "a"


class WordIds:
    """Finds the token of a word by encoding it and decoding what comes out.

    A word within a text is encoded behind another one, and not behind a bare space: tokenizers differ in what they make
    of a space at the beginning (one more token, none, or the same as without).

    Args:
        encode: text to ids, without the special tokens around a document.
        decode: ids to text, special tokens included.
        special_ids: ids that are no word.
    """

    def __init__(
        self,
        encode: Callable[[str], Sequence[int]],
        decode: Callable[[Sequence[int]], str],
        special_ids: Collection[int],
    ) -> None:
        self._encode, self._decode = encode, decode
        self._special_ids = frozenset(special_ids)

    def find(self, word: str, *, leading_space: bool) -> int | None:
        """The token that is the whole of `word`, None if there is none.

        The token may spell the word in lower case or without accents, as the tokenizer itself does.

        Args:
            word: without spaces.
            leading_space: as the word stands within a text, behind a space; else as a text begins with it.
        """
        before = list(self._encode(_BEFORE)) if leading_space else []
        ids = list(self._encode(f"{_BEFORE} {word}" if leading_space else word))
        if len(ids) != len(before) + 1 or ids[:-1] != before or ids[-1] in self._special_ids:
            return None
        # an unknown token need not be among the special ones, but it spells another word
        return ids[-1] if _plain(self._decode(ids[-1:])) == _plain(word) else None


def _plain(text: str) -> str:
    """`text` without spaces around it, capitals and accents.

    >>> _plain(" Café")
    'cafe'
    """
    letters = unicodedata.normalize("NFKD", text.strip().casefold())
    return "".join(letter for letter in letters if not unicodedata.combining(letter))
