"""Ranks that claim no more than paired tests show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.records import Record, TaskInfo

if TYPE_CHECKING:
    from bench.examples import Examples
    from bench.statistics.paired import Comparison

Pairs = Mapping[tuple[int, int], "Comparison"]


def pairs_on(runs: Mapping[int, Sequence[Record]], results_dir: Path | None) -> Pairs:
    """Every pair of rows that can be tested on one task, by the numbers of the rows.

    Args:
        runs: by number of the row: records of the task, one a seed.
        results_dir: where the values of single examples lie; None tests nothing.
    """
    if results_dir is None or sum(all(r.examples for r in records) for records in runs.values()) < 2:
        return {}
    from bench.sidecar import read_examples
    from bench.statistics.paired import all_pairs

    rows: list[int] = []
    examples: list[list[Examples]] = []
    for row, records in runs.items():
        try:
            found = [read_examples(record, results_dir) for record in records]
            if examples:
                examples[0][0].check_pair(found[0])
        except (OSError, ValueError):
            continue  # such a row has no rank; its page says that it has no values of single examples
        rows.append(row)
        examples.append(found)
    try:
        compared = all_pairs(examples) if len(rows) > 1 else {}
    except ValueError:
        return {}  # a score that is undefined in too many resamples
    return {(rows[i], rows[j]): comparison for (i, j), comparison in compared.items()}


def ranks_on(task: TaskInfo, pairs: Pairs) -> dict[int, int]:
    """Rank of each row on one task, Holm over its pairs."""
    differences = {pair: (c.difference, c.p) for pair, c in pairs.items()}
    return _ranks(differences, higher_is_better=task.higher_is_better)


def ranks_over(tasks: Sequence[Pairs]) -> dict[int, int]:
    """Rank of each row by the mean over tasks where higher is better, for pairs that were tested on all of them."""
    from scipy import stats

    common = set.intersection(*(set(pairs) for pairs in tasks)) if tasks else set()
    differences = {}
    for pair in sorted(common):
        difference = sum(pairs[pair].difference for pairs in tasks) / len(tasks)
        margins = [(pairs[pair].high - pairs[pair].low) / 2 for pairs in tasks]
        error = sum(half**2 for half in margins) ** 0.5 / len(tasks) / stats.norm.ppf((1 + tasks[0][pair].level) / 2)
        differences[pair] = difference, 2 * float(stats.norm.sf(abs(difference) / error)) if error else 1.0
    return _ranks(differences, higher_is_better=True)


def _ranks(differences: Mapping[tuple[int, int], tuple[float, float]], *, higher_is_better: bool) -> dict[int, int]:
    from bench.statistics.multiple import holm, ranks

    rows = sorted({row for pair in differences for row in pair})
    adjusted = holm([p for _, p in differences.values()])
    pairs = {
        (rows.index(i), rows.index(j)): (difference, p)
        for ((i, j), (difference, _)), p in zip(differences.items(), adjusted, strict=True)
    }
    return dict(zip(rows, ranks(len(rows), pairs, higher_is_better=higher_is_better), strict=True))
