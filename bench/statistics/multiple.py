"""Many tests at once: Holm's correction, and ranks that claim no more than the tests show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values: those up to alpha are significant with a family-wise error of at most alpha.

    The k-th smallest of m is multiplied by m - k + 1 and is no smaller than any before it (S. Holm, A Simple
    Sequentially Rejective Multiple Test Procedure, Scandinavian Journal of Statistics 6, 1979). SciPy has no
    family-wise correction.

    >>> [round(p, 6) for p in holm([0.01, 0.04, 0.03, 0.005])]
    [0.03, 0.06, 0.06, 0.02]
    """
    values = np.asarray(p_values, float)
    order = np.argsort(values, kind="stable")
    steps = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted.tolist()


def ranks(
    num_models: int,
    pairs: Mapping[tuple[int, int], tuple[float, float]],
    *,
    higher_is_better: bool,
    alpha: float = 0.05,
) -> list[int]:
    """Rank of each model: 1 + the number of models that are significantly better.

    Rank 1 means that nothing is known to be better; it does not mean equal to the others of rank 1.

    Args:
        num_models: how many there are.
        pairs: difference and adjusted p of every pair (i, j) with i < j.
        higher_is_better: which way is good.
        alpha: largest adjusted p that counts.

    >>> ranks(3, {(0, 1): (0.01, 0.5), (0, 2): (0.2, 0.01), (1, 2): (0.19, 0.01)}, higher_is_better=True)
    [1, 1, 3]
    """
    found = [1] * num_models
    for (first, second), (difference, p) in pairs.items():
        if p <= alpha:
            found[second if (difference > 0) == higher_is_better else first] += 1
    return found
