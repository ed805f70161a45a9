"""The rows of GLUE, from the hub or from a bundle."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from bench.data.bundle import Bundle, dataset_name
from bench.data.loading import load_dataset
from bench.data.rows import hash_dataset
from bench.glue.specs import PATH, REVISION, GlueSpec
from bench.protocols import NotApplicableError
from bench.records import DataCheck

TRAIN = "train"
Part = tuple[str, str]


@dataclass(frozen=True)
class Rows:
    """Rows of one split.

    Args:
        texts: the one or two texts of each row.
        labels: class numbers (int64) or scores (float64): (n,); without meaning on a test split.
        ids: the numbers that a submission calls the rows by: (n,).
        sha256: hash of the table that they came from.
    """

    texts: Sequence[tuple[str, ...]]
    labels: NDArray[np.int64] | NDArray[np.float64]
    ids: NDArray[np.int64]
    sha256: str

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, places: Sequence[int]) -> Rows:
        """Some of the rows."""
        return Rows([self.texts[i] for i in places], self.labels[places], self.ids[places], self.sha256)


@dataclass(frozen=True)
class GlueData:
    """What a task trains on, is scored on and predicts.

    Args:
        train: rows to train on.
        scored: rows by name of the validation split.
        tests: rows by (config, split) of the test splits that are there.
        missing: the test splits that are not there.
    """

    train: Rows
    scored: Mapping[str, Rows]
    tests: Mapping[Part, Rows]
    missing: tuple[Part, ...]


def load(spec: GlueSpec, related: Sequence[GlueSpec], bundle: Bundle | None = None) -> GlueData:
    """The rows of a task, and of those tasks that its trained model answers too.

    Args:
        spec: of the task.
        related: all tasks with the same training rows, `spec` among them.
        bundle: where to read from; None reads from the hub.

    Raises:
        NotApplicableError: if this copy of the data has no training or validation rows.
        ValueError: if other data than was asked for would be loaded.
        ConnectionError: if the hub cannot be reached.
    """
    found: dict[Part, Rows] = {}
    for config, split in parts(related):
        table = _table(config, split, bundle)
        if table is not None:
            found[config, split] = _rows(table, spec)
    for split in (TRAIN, spec.validation):
        if (spec.config, split) not in found:
            raise NotApplicableError(f"{PATH} {spec.config} has no split {split} here; use a whole copy of the data")
    tests = [part for one in related for part in one.tests]
    return GlueData(
        train=found[spec.config, TRAIN],
        scored={one.validation: found[p] for one in related if (p := (one.config, one.validation)) in found},
        tests={part: found[part] for part in tests if part in found},
        missing=tuple(part for part in tests if part not in found),
    )


def parts(specs: Sequence[GlueSpec]) -> list[Part]:
    """Every (config, split) that `specs` need, each once."""
    needed = [[(s.config, TRAIN), (s.config, s.validation), *s.tests] for s in specs]
    return list(dict.fromkeys(part for several in needed for part in several))


def loaders(spec: GlueSpec) -> dict[str, Callable[[], Dataset]]:
    """How each table of a task is loaded from the hub, by its name in a bundle."""
    return {
        dataset_name(PATH, config, split, REVISION): partial(load_dataset, PATH, config, split=split, revision=REVISION)
        for config, split in parts([spec])
    }


def check(spec: GlueSpec, data: GlueData) -> DataCheck:
    """Whether the splits have as many rows as those of the official release."""
    here = {TRAIN: len(data.train)} | {split: len(rows) for split, rows in data.scored.items()}
    here |= {split: len(rows) for (config, split), rows in data.tests.items() if config == spec.config}
    wrong = [
        f"{split} has {here[split]} rows, not {size}"
        for split, size in spec.sizes.items()
        if split in here and here[split] != size
    ]
    if wrong:
        return DataCheck("deviates", "; ".join(wrong))
    return DataCheck("unchecked", "the numbers of rows are the official ones; no other statistics are published")


def _table(config: str, split: str, bundle: Bundle | None) -> Dataset | None:
    """One table, or None where the data has no such config or split."""
    try:
        return load_dataset(PATH, config, split=split, revision=REVISION, bundle=bundle)
    except ValueError as error:
        if re.search("BuilderConfig .* not found|Unknown split|is not in the bundle", str(error)):
            return None
        raise


def _rows(table: Dataset, spec: GlueSpec) -> Rows:
    given = table["label"]
    labels = np.array(given, np.float64) if spec.num_labels == 1 else np.array(given, np.int64)
    texts = list(zip(*(table[column] for column in spec.columns), strict=True))
    return Rows(texts, labels, np.array(table["idx"], dtype=np.int64), hash_dataset(table))
