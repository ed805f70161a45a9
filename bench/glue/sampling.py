"""Rows chosen by their content: the same ones on every machine, whatever the order of the data."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence

SELECTION_ROWS = 1000


def choose(texts: Sequence[Sequence[str]], labels: Sequence[float], count: int) -> list[int]:
    """Positions of `count` rows with the shares of the labels kept, in rising order.

    Of each label the rows with the smallest SHA-256 of their texts are taken. Labels of a regression are rounded.

    Args:
        texts: the one or two texts of each row.
        labels: the label of each row.
        count: rows to choose, at most all.

    Example:
        >>> choose([["a"], ["b"], ["c"], ["d"], ["e"], ["f"]], [0, 0, 0, 0, 1, 1], 3)
        [2, 3, 5]
    """
    groups: dict[int, list[int]] = defaultdict(list)
    for row in sorted(range(len(labels)), key=lambda row: (_rank(texts[row]), row)):
        groups[round(labels[row])].append(row)
    quotas = _shares([len(groups[label]) for label in sorted(groups)], count)
    return sorted(row for label, quota in zip(sorted(groups), quotas, strict=True) for row in groups[label][:quota])


def split(texts: Sequence[Sequence[str]], labels: Sequence[float], fraction: float) -> tuple[list[int], list[int]]:
    """Positions to train on, and positions to choose the settings on: a `fraction`, and at most 1,000.

    Example:
        >>> split([["a"], ["b"], ["c"], ["d"]], [0, 0, 1, 1], 0.5)
        ([0, 2], [1, 3])
    """
    chosen = choose(texts, labels, min(round(fraction * len(labels)), SELECTION_ROWS))
    kept = set(chosen)
    return [row for row in range(len(labels)) if row not in kept], chosen


def _rank(texts: Sequence[str]) -> bytes:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).digest()


def _shares(sizes: Sequence[int], count: int) -> list[int]:
    """`count` divided in proportion to `sizes` by largest remainder."""
    total = sum(sizes)
    exact = [min(count, total) * size / total for size in sizes]
    shares = [int(share) for share in exact]
    by_remainder = sorted(range(len(sizes)), key=lambda i: shares[i] - exact[i])
    for i in by_remainder[: min(count, total) - sum(shares)]:
        shares[i] += 1
    return shares
