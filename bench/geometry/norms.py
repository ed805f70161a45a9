"""How long vectors are, and how much of their length all of them share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.geometry.undefined import UndefinedError

Rows = NDArray[np.float64]


def norms(rows: Rows) -> NDArray[np.float64]:
    """`||e_i||` of each row: (n,)."""
    lengths: NDArray[np.float64] = np.linalg.norm(rows, axis=1)
    return lengths


def mean_norm(rows: Rows) -> float:
    """`(1/n) sum_i ||e_i||`."""
    return float(norms(rows).mean())


def norm_of_mean(rows: Rows) -> float:
    """`||mu||` with `mu = (1/n) sum_i e_i`."""
    return float(np.linalg.norm(rows.mean(axis=0)))


def mean_norm_ratio(rows: Rows) -> float:
    """`||mu|| / ((1/n) sum_i ||e_i||)`: 0 if the vectors balance, 1 if all point one way; free of scale.

    Raises:
        UndefinedError: if every vector is zero.

    References:
        F. Stollenwerk and T. Stollenwerk, Better Embeddings with Coupled Adam, arXiv:2502.08441.

    >>> mean_norm_ratio(np.array([[3.0, 4.0], [3.0, 4.0]])), mean_norm_ratio(np.array([[1.0], [-1.0]]))
    (1.0, 0.0)
    """
    length = mean_norm(rows)
    if length == 0:
        raise UndefinedError("every vector is zero")
    return norm_of_mean(rows) / length


def ratio_of_single_vectors(rows: Rows) -> NDArray[np.float64]:
    """One value a vector whose mean is `mean_norm_ratio`, and whose spread is, to first order, that of the ratio.

    With `R = ||mu|| / N` and `N` the mean norm, vector i gets `R + (e_i . mu / ||mu|| - R ||e_i||) / N`: the ratio plus
    the influence of the vector on it (the infinitesimal jackknife). What remains above the first order is the length
    that the mean of a finite sample has by chance, of the order of `1/sqrt(n)` where the true mean is zero.

    Returns:
        Shape (n,).

    Raises:
        UndefinedError: if the mean, or every vector, is zero.

    References:
        B. Efron, The Jackknife, the Bootstrap and Other Resampling Plans, SIAM 1982, chapter 6.
    """
    ratio = mean_norm_ratio(rows)
    if ratio == 0:
        raise UndefinedError("the mean is zero, so that no vector has a part along it")
    mean = rows.mean(axis=0)
    along = rows @ (mean / np.linalg.norm(mean))
    values: NDArray[np.float64] = ratio + (along - ratio * norms(rows)) / mean_norm(rows)
    return values


def unit(rows: Rows) -> Rows:
    """The vectors at length 1.

    Raises:
        UndefinedError: if one is zero.
    """
    lengths = norms(rows)
    if (lengths == 0).any():
        raise UndefinedError(f"vector {int(np.argmin(lengths))} is zero and has no direction")
    scaled: Rows = rows / lengths[:, None]
    return scaled
