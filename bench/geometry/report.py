"""All measures of a table of tokens, or of the vectors of sentences."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bench.geometry import frequency, hubness, isotropy, norms, spectrum, sphere
from bench.geometry.norms import Rows
from bench.geometry.subspace_distance import subspace_distance
from bench.geometry.undefined import UndefinedError, evaluate
from bench.records import Scores

MAIN = "mean_norm_ratio"
# Below it the mean is mostly chance, and a projection on it is noise.
LEAST_RATIO = 0.1

_BY_FREQUENCY = ("norm_log_count_pearson", "norm_log_count_spearman")
_BY_PROJECTION = ("mean_projection_log_count_pearson", "mean_projection_log_count_spearman")
_DECILES = tuple(f"mean_norm_decile_{i}" for i in range(1, frequency.DECILES + 1))


def of_table(rows: Rows, counts: NDArray[np.int64] | None, words: Rows | None = None) -> Scores:
    """Measures of a table; the main one is `mean_norm_ratio`.

    Args:
        rows: one a token: (V, H).
        counts: of the tokens in the training texts: (V,); None where they are unknown.
        words: the input table where `rows` is an output table of its own: (V, D).

    Raises:
        ValueError: if a number of the table is not finite, or every row is zero.
    """
    between = {} if words is None else {"subspace_distance": partial(subspace_distance, words, rows)}
    values, absent = evaluate({**_of_any(rows), **between})
    if counts is None:
        reason = "how often each token occurs in the training texts is not known"
        absent |= dict.fromkeys((*_BY_FREQUENCY, *_BY_PROJECTION, *_DECILES), reason)
        return Scores(values[MAIN], values, absent=absent)
    lengths = norms.norms(rows)
    by_frequency, missing = evaluate(
        {
            **_correlations(_BY_FREQUENCY, lengths, counts),
            **_of_projections(rows, counts, values[MAIN]),
            **_deciles(lengths, counts),
        }
    )
    return Scores(values[MAIN], values | by_frequency, absent=absent | missing)


def of_sentences(rows: Rows, left: Rows, right: Rows) -> Scores:
    """Measures of vectors of texts; the main one is `mean_norm_ratio`.

    Args:
        rows: one a text: (n, H).
        left: one side of pairs that belong together: (m, H).
        right: the other side: (m, H).

    Raises:
        ValueError: if a number is not finite, or every vector is zero.
    """
    values, absent = evaluate(
        {
            **_of_any(rows),
            "alignment": partial(sphere.alignment, left, right),
            "uniformity": partial(sphere.uniformity, rows),
            f"hubness_skew_{hubness.NEIGHBOURS}": partial(hubness.hubness_skew, rows),
        }
    )
    return Scores(values[MAIN], values, absent=absent)


def _of_any(rows: Rows) -> Mapping[str, Callable[[], float]]:
    if not np.isfinite(rows).all():
        raise ValueError("some numbers of these vectors are not finite: the model has diverged or is damaged")
    if not rows.any():
        raise ValueError("every vector is zero: the model was never initialised or trained")
    plain, centred = (spectrum.singular_values(rows, centred=centred) for centred in (False, True))
    return {
        MAIN: partial(norms.mean_norm_ratio, rows),
        "mean_norm": partial(norms.mean_norm, rows),
        "norm_of_mean": partial(norms.norm_of_mean, rows),
        "isotropy": partial(isotropy.isotropy, rows),
        "isotropy_one_sided": partial(isotropy.isotropy_one_sided, rows),
        "isotropy_unit": partial(isotropy.isotropy_unit, rows),
        "iso_score": partial(spectrum.iso_score, centred, rows.shape[1]),
        "inverse_condition_percent": partial(spectrum.inverse_condition_percent, plain),
        "inverse_condition_percent_centred": partial(spectrum.inverse_condition_percent, centred),
        "effective_rank": partial(spectrum.effective_rank, plain),
        "rows": lambda: float(len(rows)),
    }


def _correlations(
    names: tuple[str, str], values: NDArray[np.float64], counts: NDArray[np.int64]
) -> Mapping[str, Callable[[], float]]:
    kinds = (frequency.log_count_pearson, frequency.log_count_spearman)
    return {name: partial(kind, values, counts) for name, kind in zip(names, kinds, strict=True)}


def _of_projections(rows: Rows, counts: NDArray[np.int64], ratio: float) -> Mapping[str, Callable[[], float]]:
    def too_short() -> float:
        raise UndefinedError(f"the mean is too short to project on: {MAIN} is {ratio:.3g}, not above {LEAST_RATIO}")

    if ratio <= LEAST_RATIO:
        return dict.fromkeys(_BY_PROJECTION, too_short)
    return _correlations(_BY_PROJECTION, frequency.projections_on_mean(rows), counts)


def _deciles(lengths: NDArray[np.float64], counts: NDArray[np.int64]) -> Mapping[str, Callable[[], float]]:
    def mean_of(decile: int) -> float:
        return float(frequency.means_by_decile(lengths, counts)[decile])

    return {name: partial(mean_of, decile) for decile, name in enumerate(_DECILES)}
