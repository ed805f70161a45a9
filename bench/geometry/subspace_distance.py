"""How much of the one table of a vocabulary lies outside of the space that the other spans."""

from __future__ import annotations

import numpy as np
from scipy.linalg import orth

from bench.geometry.norms import Rows
from bench.geometry.undefined import UndefinedError


def subspace_distance(words: Rows, classifier: Rows) -> float:
    """`||W - Q Q' W||_F / ||W||_F` with Q an orthonormal basis of the column space of L.

    0 if `W = L A`, so that one table could do the work of both; about `sqrt(1 - D / V)` for tables that have nothing to
    do with each other.

    Args:
        words: L, the input table: (V, D).
        classifier: W, the output table: (V, H).

    Raises:
        UndefinedError: if W is zero.

    References:
        H. Inan, K. Khosravi and R. Socher, Tying Word Vectors and Word Classifiers, arXiv:1611.01462, section 6.2.

    >>> words = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    >>> subspace_distance(words, words @ np.array([[1.0, 2.0], [3.0, 4.0]]))
    0.0
    >>> subspace_distance(words, np.array([[0.0], [3.0], [4.0]]))
    0.8
    """
    size = np.linalg.norm(classifier)
    if size == 0:
        raise UndefinedError("the output table is zero")
    basis = orth(words)
    return float(np.linalg.norm(classifier - basis @ (basis.T @ classifier)) / size)
