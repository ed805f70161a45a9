"""Isotropy by the partition function `Z(c) = sum_i exp(c . e_i)`, over unit eigenvectors c of `E^T E`, not centred.

The sign of an eigenvector is the solver's choice. Here both signs are used, or the sign is fixed, so that the value is
a property of the vectors alone (where `E^T E` has equal eigenvalues, their eigenvectors remain the solver's choice).
All is computed with log Z, because Z overflows for vectors of ordinary length.

References:
    J. Mu and P. Viswanath, All-but-the-Top, arXiv:1702.01417, equations 2 and 3: one sign of each eigenvector.
    F. Stollenwerk and T. Stollenwerk, Better Embeddings with Coupled Adam, arXiv:2502.08441: the same.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from bench.geometry.norms import Rows, mean_norm
from bench.geometry.undefined import UndefinedError

_BLOCK = 1 << 24  # numbers at a time: 128 MB


def isotropy(rows: Rows) -> float:
    """`min_c Z(c) / max_c Z(c)` over both signs of each eigenvector: 1 for a round cloud around zero, towards 0 else.

    It depends on the scale: as all vectors shrink, it goes to 1. Where the mean dominates it is about
    `exp(-2 ||mu||)`. Read it beside the mean norm.

    Args:
        rows: (n, H).
    """
    return _spread(_log_partition(rows))


def isotropy_one_sided(rows: Rows) -> float:
    """`min_c Z(c) / max_c Z(c)` over one sign of each eigenvector, as published values have it.

    The sign is that with which the entry of largest magnitude is positive; published code leaves it to the solver.

    Args:
        rows: (n, H).
    """
    return _spread(_log_partition(rows)[:, 0])


def isotropy_unit(rows: Rows) -> float:
    """`isotropy` of the vectors divided by their mean norm, which makes it free of scale.

    Args:
        rows: (n, H).

    Raises:
        UndefinedError: if every vector is zero.
    """
    length = mean_norm(rows)
    if length == 0:
        raise UndefinedError("every vector is zero")
    return isotropy(rows / length)


def eigenvectors(rows: Rows) -> NDArray[np.float64]:
    """Unit eigenvectors of `E^T E`, one a column, each with its entry of largest magnitude positive: (H, H)."""
    _, vectors = np.linalg.eigh(rows.T @ rows)
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])]
    signed: NDArray[np.float64] = vectors * np.where(largest < 0, -1.0, 1.0)
    return signed


def _log_partition(rows: Rows) -> NDArray[np.float64]:
    """`log Z(c)` and `log Z(-c)` of each eigenvector c: (H, 2)."""
    directions = eigenvectors(rows)
    found = []
    for block in np.array_split(directions, -(-directions.shape[1] * len(rows) // _BLOCK), axis=1):
        projected = rows @ block
        found.append(np.stack([logsumexp(projected, axis=0), logsumexp(-projected, axis=0)], axis=1))
    return np.concatenate(found)


def _spread(log_partition: NDArray[np.float64]) -> float:
    return float(np.exp(log_partition.min() - log_partition.max()))
