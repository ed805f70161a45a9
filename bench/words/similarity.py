"""How similar the rows of words are, beside how similar people find the words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.examples import Examples

Rows = NDArray[np.float64]
Values = NDArray[np.float64]

_STATISTICS = ("pearson", "spearman")


@dataclass(frozen=True)
class Pairs:
    """Pairs of words that are both single tokens.

    Args:
        ids: of the pairs, unique: (n,).
        gold: human scores: (n,).
        tokens: ids of the two tokens: (n, 2).
    """

    ids: Sequence[str]
    gold: Values
    tokens: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def of(cls, rows: Sequence[tuple[str, str, float]], token_id: Callable[[str], int | None]) -> Pairs:
        """Those of `rows` whose words have a token each.

        Args:
            rows: two words and their human score.
            token_id: token of a word, None for a word that is none.
        """
        known = {word: token_id(word) for first, second, _ in rows for word in (first, second)}
        kept = [i for i, (first, second, _) in enumerate(rows) if None not in (known[first], known[second])]
        return cls(
            [f"{i} {rows[i][0]} {rows[i][1]}" for i in kept],
            np.array([rows[i][2] for i in kept], np.float64),
            np.array([[known[word] for word in rows[i][:2]] for i in kept], np.int64).reshape(-1, 2),
        )


def cosine(table: Rows, pairs: Pairs) -> Values:
    """`e_a . e_b / (||e_a|| ||e_b||)` of each pair; 0 where a row is zero: (n,)."""
    left, right = table[pairs.tokens.T]
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    products = (left * right).sum(axis=1)
    cosines: Values = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
    return cosines


def inner_product(table: Rows, pairs: Pairs) -> Values:
    """`e_a . e_b` of each pair: (n,)."""
    left, right = table[pairs.tokens.T]
    products: Values = (left * right).sum(axis=1)
    return products


_SIMILARITIES: dict[str, Callable[[Rows, Pairs], Values]] = {"cosine": cosine, "inner_product": inner_product}
SCORES = tuple(f"{similarity}_{statistic}" for similarity in _SIMILARITIES for statistic in _STATISTICS)


def correlations(table: Rows, pairs: Pairs) -> dict[str, Examples]:
    """Human scores and similarities of the pairs, for each of `SCORES`.

    Args:
        table: one row a token: (V, H).
        pairs: at least one.
    """
    found = {}
    for name, similarity in _SIMILARITIES.items():
        values = similarity(table, pairs)
        for statistic in _STATISTICS:
            score = f"{name}_{statistic}"
            found[score] = Examples.of_predictions(score, statistic, pairs.gold, values, unit="pair", ids=pairs.ids)
    return found
