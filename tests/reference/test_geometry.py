"""Every measure of `bench.geometry` from its definition, a number at a time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.geometry import frequency, hubness, isotropy, norms, spectrum, sphere

Vector = list[float]
Table = list[Vector]


@pytest.fixture(params=[0, 1, 2])
def rows(request: pytest.FixtureRequest) -> NDArray[np.float64]:
    """40 rows of width 5 around a mean."""
    rng = np.random.default_rng(request.param)
    return rng.normal(size=(40, 5)) @ rng.normal(size=(5, 5)) + rng.normal(size=5)


def dot(a: Vector, b: Vector) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True))


def norm(a: Vector) -> float:
    return math.sqrt(dot(a, a))


def mean(table: Table) -> Vector:
    return [math.fsum(column) / len(table) for column in zip(*table, strict=True)]


def scaled(table: Table, factor: float) -> Table:
    return [[factor * x for x in row] for row in table]


def centred(table: Table) -> Table:
    middle = mean(table)
    return [[x - m for x, m in zip(row, middle, strict=True)] for row in table]


def gram(table: Table) -> Table:
    columns = [list(column) for column in zip(*table, strict=True)]
    return [[dot(a, b) for b in columns] for a in columns]


def principal(matrix: Table) -> list[tuple[float, Vector]]:
    """Eigenvalues and unit eigenvectors of a symmetric matrix, by Jacobi's rotations."""
    size = len(matrix)
    a = [list(row) for row in matrix]
    vectors = [[float(i == j) for j in range(size)] for i in range(size)]
    for p, q in 30 * list(itertools.combinations(range(size), 2)):
        angle = 0.5 * math.atan2(2 * a[p][q], a[q][q] - a[p][p])
        c, s = math.cos(angle), math.sin(angle)
        for table in (a, vectors):
            for row in table:
                row[p], row[q] = c * row[p] - s * row[q], s * row[p] + c * row[q]
        a[p], a[q] = (
            [c * x - s * y for x, y in zip(a[p], a[q], strict=True)],
            [s * x + c * y for x, y in zip(a[p], a[q], strict=True)],
        )
    assert max(abs(a[i][j]) for i in range(size) for j in range(i)) < 1e-9 * max(a[i][i] for i in range(size))
    return [(a[i][i], [row[i] for row in vectors]) for i in range(size)]


def partition(table: Table, direction: Vector) -> float:
    return math.fsum(math.exp(dot(direction, row)) for row in table)


def two_signed(table: Table) -> float:
    directions = [vector for _, vector in principal(gram(table))]
    sums = [partition(table, [sign * x for x in c]) for c in directions for sign in (1, -1)]
    return min(sums) / max(sums)


def one_signed(table: Table) -> float:
    sums = []
    for _, vector in principal(gram(table)):
        sign = math.copysign(1.0, max(vector, key=abs))
        sums.append(partition(table, [sign * x for x in vector]))
    return min(sums) / max(sums)


def test_norms(rows: NDArray[np.float64]) -> None:
    table = rows.tolist()
    average = math.fsum(map(norm, table)) / len(table)
    assert norms.mean_norm(rows) == pytest.approx(average, rel=1e-12)
    assert norms.norm_of_mean(rows) == pytest.approx(norm(mean(table)), rel=1e-12)
    assert norms.mean_norm_ratio(rows) == pytest.approx(norm(mean(table)) / average, rel=1e-12)


def test_influence_is_what_more_of_a_vector_does(rows: NDArray[np.float64]) -> None:
    table, step = rows.tolist(), 1e-4

    def ratio(i: int, weight: float) -> float:
        weights = [weight if j == i else 1.0 for j in range(len(table))]
        total = [math.fsum(w * x for w, x in zip(weights, column, strict=True)) for column in zip(*table, strict=True)]
        return norm(total) / math.fsum(w * norm(row) for w, row in zip(weights, table, strict=True))

    slopes = [(ratio(i, 1 + step) - ratio(i, 1 - step)) / (2 * step) for i in range(len(table))]
    expected = [ratio(0, 1.0) + len(table) * slope for slope in slopes]
    np.testing.assert_allclose(norms.ratio_of_single_vectors(rows), expected, rtol=1e-6)


def test_isotropy(rows: NDArray[np.float64]) -> None:
    table = rows.tolist()
    average = math.fsum(map(norm, table)) / len(table)
    assert isotropy.isotropy(rows) == pytest.approx(two_signed(table), rel=1e-9)
    assert isotropy.isotropy_one_sided(rows) == pytest.approx(one_signed(table), rel=1e-9)
    assert isotropy.isotropy_unit(rows) == pytest.approx(two_signed(scaled(table, 1 / average)), rel=1e-9)


@pytest.mark.parametrize("around_mean", [False, True])
def test_spectrum(rows: NDArray[np.float64], around_mean: bool) -> None:
    table = centred(rows.tolist()) if around_mean else rows.tolist()
    lengths = [math.sqrt(value) for value, _ in principal(gram(table))]
    found = spectrum.singular_values(rows, centred=around_mean)
    assert found.tolist() == pytest.approx(sorted(lengths, reverse=True), rel=1e-9)
    assert spectrum.inverse_condition_percent(found) == pytest.approx(100 * min(lengths) / max(lengths), rel=1e-9)
    shares = [length / math.fsum(lengths) for length in lengths]
    entropy = -math.fsum(p * math.log(p) for p in shares)
    assert spectrum.effective_rank(found) == pytest.approx(math.exp(entropy), rel=1e-9)


def test_iso_score_by_the_steps_of_the_paper(rows: NDArray[np.float64]) -> None:
    table = centred(rows.tolist())
    n = len(table[0])
    # 1 to 3: principal components, and the diagonal of their covariance
    variances = [value / (len(table) - 1) for value, _ in principal(gram(table))]
    # 4: to the length of (1, ..., 1)
    normalised = [math.sqrt(n) * v / norm(variances) for v in variances]
    # 5 and 6: distance from it, as a share of the largest possible
    defect = norm([v - 1 for v in normalised]) / math.sqrt(2 * (n - math.sqrt(n)))
    # 7: share of dimensions that are used, 8: so that one dimension is 0
    used = (n - defect**2 * (n - math.sqrt(n))) ** 2 / n**2
    expected = (n * used - 1) / (n - 1)
    values = spectrum.singular_values(rows, centred=True)
    assert spectrum.iso_score(values, n) == pytest.approx(expected, rel=1e-9)


def ranks(values: Vector) -> Vector:
    return [
        sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2 for value in values
    ]


def pearson(a: Vector, b: Vector) -> float:
    a, b = ([x - math.fsum(side) / len(side) for x in side] for side in (a, b))
    return dot(a, b) / norm(a) / norm(b)


def test_frequency(rows: NDArray[np.float64]) -> None:
    counts = np.random.default_rng(0).integers(0, 6, size=len(rows))
    seen = [i for i, count in enumerate(counts) if count > 0]
    logs = [math.log(counts[i]) for i in seen]
    lengths = [norm(rows[i].tolist()) for i in seen]
    assert 10 < len(seen) < len(rows)
    assert frequency.log_count_pearson(norms.norms(rows), counts) == pytest.approx(pearson(lengths, logs), rel=1e-10)
    expected = pearson(ranks(lengths), ranks(logs))
    assert frequency.log_count_spearman(norms.norms(rows), counts) == pytest.approx(expected, rel=1e-10)
    along = [dot(row, mean(rows.tolist())) for row in rows.tolist()]
    assert frequency.projections_on_mean(rows).tolist() == pytest.approx(along, rel=1e-10)
    order = sorted(seen, key=lambda i: (counts[i], i))
    sizes = [len(seen) // 10 + (i < len(seen) % 10) for i in range(10)]
    expected_means, start = [], 0
    for size in sizes:
        expected_means.append(math.fsum(norm(rows[i].tolist()) for i in order[start : start + size]) / size)
        start += size
    found = frequency.means_by_decile(norms.norms(rows), counts)
    assert found.tolist() == pytest.approx(expected_means, rel=1e-12)


def unit(a: Vector) -> Vector:
    return [x / norm(a) for x in a]


def squared_distance(a: Vector, b: Vector) -> float:
    return math.fsum((x - y) ** 2 for x, y in zip(unit(a), unit(b), strict=True))


def test_sphere(rows: NDArray[np.float64]) -> None:
    table = rows.tolist()
    pairs = list(itertools.pairwise(table))
    expected = math.fsum(squared_distance(a, b) for a, b in pairs) / len(pairs)
    assert sphere.alignment(rows[:-1], rows[1:]) == pytest.approx(expected, rel=1e-12)
    powers = [math.exp(-2 * squared_distance(a, b)) for i, a in enumerate(table) for b in table[:i]]
    assert sphere.uniformity(rows) == pytest.approx(math.log(math.fsum(powers) / len(powers)), rel=1e-10)


@pytest.mark.parametrize("k", [1, 3, 10])
def test_hubness(rows: NDArray[np.float64], k: int) -> None:
    table = rows.tolist()
    count = [0] * len(table)
    closeness: Callable[[int, int], float] = lambda i, j: dot(unit(table[i]), unit(table[j]))  # noqa: E731
    for i in range(len(table)):
        others = sorted((j for j in range(len(table)) if j != i), key=lambda j, i=i: -closeness(i, j))  # type: ignore[misc]
        for j in others[:k]:
            count[j] += 1
    assert hubness.k_occurrences(rows, k).tolist() == count
    moments = [math.fsum((c - k) ** power for c in count) / len(count) for power in (2, 3)]
    assert hubness.hubness_skew(rows, k) == pytest.approx(moments[1] / moments[0] ** 1.5, rel=1e-12)
