"""Clusters of given sizes, so that tokens and codes come out even."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning

Rows = NDArray[np.float32]
Numbers = NDArray[np.int64]
_ROUNDS = 5


def centroids_of(rows: Rows, count: int, seed: int) -> Rows:
    """`count` centroids of k-means, repeated ones included where there are fewer different rows: (count, D)."""
    means = MiniBatchKMeans(min(count, len(rows)), random_state=seed, n_init=3, batch_size=4096, max_iter=50)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different rows than clusters
        centroids: Rows = means.fit(rows).cluster_centers_.astype(np.float32)
    return np.resize(centroids, (count, rows.shape[1]))


def squared_distances(rows: Rows, centroids: Rows) -> Rows:
    """Squared Euclidean distance of each row to each centroid: (n, k)."""
    squares = (rows**2).sum(1)[:, None] + (centroids**2).sum(1)
    distances: Rows = np.maximum(squares - 2 * rows @ centroids.T, 0)
    return distances


def fill(distances: Rows, capacities: Numbers) -> Numbers:
    """A cluster for each row, with `capacities[k]` rows in cluster k; what has most to lose chooses first: (n,).

    Args:
        distances: of the rows to the centroids: (n, k).
        capacities: that add up to n.
    """
    assert capacities.sum() == len(distances), "every row needs a place, and every place a row"
    room = capacities.copy()
    preferred = distances.argsort(axis=1)
    usable = distances[:, capacities > 0]
    nearest = np.partition(usable, min(1, usable.shape[1] - 1), axis=1)
    margin = nearest[:, min(1, usable.shape[1] - 1)] - nearest[:, 0]
    chosen = np.empty(len(distances), np.int64)
    for row in (-margin).argsort(kind="stable"):
        cluster = next(k for k in preferred[row] if room[k])
        chosen[row] = cluster
        room[cluster] -= 1
    return chosen


def balanced_clusters(rows: Rows, capacities: Numbers, seed: int) -> tuple[Numbers, Rows]:
    """k-means in which each cluster takes its capacity: cluster of each row (n,) and centroids (k, D)."""
    centroids = centroids_of(rows, len(capacities), seed)
    chosen = fill(squared_distances(rows, centroids), capacities)
    for _ in range(_ROUNDS - 1):
        centroids = np.stack(
            [rows[chosen == k].mean(0) if (chosen == k).any() else centroids[k] for k in range(len(centroids))]
        )
        chosen = fill(squared_distances(rows, centroids), capacities)
    return chosen, centroids


def one_to_one(distances: Rows) -> Numbers:
    """A different column for each row with the smallest sum of distances: (n,)."""
    _, columns = linear_sum_assignment(distances)
    found: Numbers = columns.astype(np.int64)
    return found


def hierarchy(rows: Rows, base: int, num_digits: int, seed: int) -> Numbers:
    """A different number below n for each row, whose base-`base` digits are clusters: (n,).

    The top digit is a balanced cluster of the rows. Each lower digit is the place of what is left of a row, after its
    cluster's centroid is taken away, among `base` centroids that all clusters share, so that a digit means the same in
    each of them; the last digit is a one-to-one assignment. The numbers are a permutation of 0 to n - 1.

    Args:
        rows: vectors: (n, D), with `base ** (num_digits - 1) < n <= base ** num_digits` or one digit.
        base: values of a digit.
        num_digits: of a number.
        seed: of k-means.
    """
    numbers = np.zeros(len(rows), np.int64)
    residual = rows.copy()
    members = [np.arange(len(rows))]
    for level in reversed(range(num_digits)):
        shared = None if level == num_digits - 1 and level > 0 else centroids_of(residual, base, seed)
        below = []
        for group in members:
            chosen, centroids = _digits(residual, group, base**level, base, shared, seed)
            numbers[group] += chosen * base**level
            residual[group] -= centroids[chosen]
            below += [group[chosen == k] for k in range(base) if (chosen == k).any()]
        members = below
    return numbers


def _digits(
    residual: Rows, group: Numbers, size: int, base: int, shared: Rows | None, seed: int
) -> tuple[Numbers, Rows]:
    """Digit of each member of a group, the lowest values filled first, and the centroids: (n,), (base, D)."""
    count = -(-len(group) // size)
    capacities = np.full(count, size, np.int64)
    capacities[-1] = len(group) - size * (count - 1)
    if shared is None:
        chosen, centroids = balanced_clusters(residual[group], capacities, seed)
        return chosen, np.resize(centroids, (base, residual.shape[1]))
    distances = squared_distances(residual[group], shared[:count])
    return (one_to_one(distances) if size == 1 else fill(distances, capacities)), shared
