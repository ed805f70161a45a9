"""Bootstrap draws of a main score. The draws depend on the ids of the examples alone, so that models share them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.statistics.estimators import ESTIMATORS, Weights

if TYPE_CHECKING:
    from bench.examples import Examples, Group

RESAMPLES = 2000
# Of more examples scores are close to normal: the jackknife gives the same interval with a tenth of the work.
MANY = 2000
JACKKNIFE_BLOCKS = 200
_FEWEST_BLOCKS = 20  # of a group
_CHUNK = 2_000_000  # weights at a time: 16 MB


def is_large(examples: Examples) -> bool:
    """Whether the jackknife takes the place of the bootstrap."""
    return examples.count > MANY and examples.statistic_name != "resampled"


def draws(models: Sequence[Examples]) -> NDArray[np.float64]:
    """Values whose spread is that of each main score: (models, draws), by bootstrap or jackknife.

    Models share their resamples, so that the spread of a difference of rows is that of the difference of the scores.

    Args:
        models: with the same groups and ids.
    """
    return jackknife(models) if is_large(models[0]) else replicates(models)


def replicates(models: Sequence[Examples]) -> NDArray[np.float64]:
    """Main score of each model in each resample: (models, resamples), NaN where undefined.

    All models are scored on the same resamples; groups are resampled apart.

    Args:
        models: with the same groups and ids.
    """
    first = models[0]
    total = np.zeros((len(models), RESAMPLES))
    for index, group in enumerate(first.groups):
        size = 1 if first.statistic_name == "resampled" else len(group.ids)
        done = 0
        for weights in draw(len(group.ids), size, RESAMPLES, seed_of(group)):
            for row, model in zip(total, models, strict=True):
                estimator = ESTIMATORS[model.statistic_name]
                row[done : done + len(weights)] += estimator(model.groups[index].columns, weights)
            done += len(weights)
    return total / len(first.groups)


def draw(examples: int, size: int, count: int, seed: int) -> Iterator[Weights]:
    """Weights of `count` resamples of `size` of `examples` with replacement, in chunks (draws, examples)."""
    rng = np.random.default_rng(seed)
    rows = max(1, _CHUNK // examples)
    for start in range(0, count, rows):
        chunk = min(rows, count - start)
        chosen = rng.integers(examples, size=(chunk, size), dtype=np.int64)
        chosen += np.arange(chunk)[:, None] * examples
        yield np.bincount(chosen.ravel(), minlength=chunk * examples).reshape(chunk, examples).astype(float)


def jackknife(models: Sequence[Examples]) -> NDArray[np.float64]:
    """Influence of blocks of examples on each main score, scaled so that its spread is the standard error."""
    rows = []
    for model in models:
        effects = influence(model)
        total = sum(len(effect) for effect in effects)
        rows.append(np.concatenate([e * np.sqrt(total / (len(e) * (len(e) - 1))) for e in effects]))
    return np.stack(rows)


def influence(examples: Examples) -> list[NDArray[np.float64]]:
    """Influence of each block of examples on the main score, by the jackknife: one array (blocks,) a group."""
    found = []
    most = max(_FEWEST_BLOCKS, JACKKNIFE_BLOCKS // len(examples.groups))
    for group in examples.groups:
        total = len(group.ids)
        blocks = min(total, most)
        of_example = np.random.default_rng(seed_of(group)).permutation(total) % blocks
        values = []
        for start in range(0, blocks, max(1, _CHUNK // total)):
            rows = np.arange(start, min(blocks, start + max(1, _CHUNK // total)))
            weights = (of_example[None] != rows[:, None]).astype(float)
            values.append(ESTIMATORS[examples.statistic_name](group.columns, weights))
        left_out = np.concatenate(values)
        found.append((blocks - 1) * (left_out.mean() - left_out) / len(examples.groups))
    return found


def seed_of(group: Group) -> int:
    """Seed of the resamples of a group, out of its name and the ids of its examples."""
    digest = hashlib.sha256(group.name.encode() + b"\0" + np.ascontiguousarray(group.ids).tobytes()).digest()
    return int.from_bytes(digest[:8], "big")
