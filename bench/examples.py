"""What one score is made of, example by example: kept beside a record, for intervals and paired tests.

File: NumPy's `.npz` without pickles, with a description and a checksum in it. NumPy and SciPy only.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.statistics.estimators import ESTIMATORS

VERSION = 1
_SHARED = ("gold", "denominator")  # columns that say something about the data, not about the model


@dataclass(frozen=True, eq=False)
class Group:
    """Examples of one split and subset.

    Args:
        name: such as `test/default`.
        ids: one an example, unique: (examples,).
        columns: what the statistic needs, by the names that its estimator asks for; first axis is examples.
    """

    name: str
    ids: NDArray[Any]
    columns: Mapping[str, NDArray[Any]]

    def __post_init__(self) -> None:
        if len(self.ids) == 0:
            raise ValueError(f"{self.name} has no examples")
        if len(np.unique(self.ids)) != len(self.ids):
            raise ValueError(f"{self.name} has two examples of one id")
        for name, column in self.columns.items():
            if len(column) != len(self.ids):
                raise ValueError(f"{self.name}: {len(column)} values of {name!r} for {len(self.ids)} examples")
            if column.dtype.kind == "f" and not np.isfinite(column).all():
                raise ValueError(f"{self.name}: a value of {name!r} is not finite")


@dataclass(frozen=True, eq=False)
class Examples:
    """Per-example values of one main score, the mean over groups of a statistic.

    Args:
        score: name of the score, such as `ndcg_at_10`.
        statistic_name: a key of `bench.statistics.estimators.ESTIMATORS`.
        unit: what one example is, such as `query`.
        groups: at least one.

    Example:
        >>> Examples.of_values("ndcg_at_10", [0.0, 0.5, 1.0], unit="query").statistic()
        0.5
    """

    score: str
    statistic_name: str
    unit: str
    groups: tuple[Group, ...]

    def __post_init__(self) -> None:
        if self.statistic_name not in ESTIMATORS:
            raise ValueError(f"no statistic {self.statistic_name!r}; there are {', '.join(ESTIMATORS)}")
        if not self.groups:
            raise ValueError("no groups of examples")

    @property
    def count(self) -> int:
        """Number of examples in all groups."""
        return sum(len(group.ids) for group in self.groups)

    def statistic(self) -> float:
        """The main score, computed again; NaN where it is undefined."""
        estimator = ESTIMATORS[self.statistic_name]
        ones = [np.ones((1, len(group.ids))) for group in self.groups]
        return float(np.mean([estimator(group.columns, w)[0] for group, w in zip(self.groups, ones, strict=True)]))

    def check_pair(self, other: Examples) -> None:
        """Make sure that `other` is the same score on the same examples.

        Raises:
            ValueError: naming the first thing that differs.
        """
        for what in ("score", "statistic_name"):
            mine, its = getattr(self, what), getattr(other, what)
            if mine != its:
                raise ValueError(f"not the same score: {mine} and {its}")
        names, others = [group.name for group in self.groups], [group.name for group in other.groups]
        if names != others:
            raise ValueError(f"not the same splits and subsets: {', '.join(names)} and {', '.join(others)}")
        for mine, its in zip(self.groups, other.groups, strict=True):
            if not np.array_equal(mine.ids, its.ids):
                raise ValueError(f"not the same examples in {mine.name}: {len(mine.ids)} and {len(its.ids)} ids differ")
            for name in _SHARED:
                if name in mine.columns and not np.array_equal(mine.columns[name], its.columns[name]):
                    raise ValueError(f"not the same data in {mine.name}: the values of {name!r} differ")

    @classmethod
    def of_values(
        cls, score: str, values: Sequence[float] | NDArray[Any], *, unit: str, ids: Sequence[Any] | None = None
    ) -> Examples:
        """A score that is the mean of one value an example."""
        return cls._single(score, "mean", unit, ids, {"values": np.asarray(values, float)})

    @classmethod
    def of_ratio(
        cls,
        score: str,
        numerator: Sequence[float] | NDArray[Any],
        denominator: Sequence[float] | NDArray[Any],
        *,
        unit: str,
        ids: Sequence[Any] | None = None,
        scale: float = 1.0,
    ) -> Examples:
        """A score that is `scale * sum(numerator) / sum(denominator)`, such as bits per byte."""
        columns = {"numerator": scale * np.asarray(numerator, float), "denominator": np.asarray(denominator, float)}
        return cls._single(score, "ratio", unit, ids, columns)

    @classmethod
    def of_predictions(
        cls,
        score: str,
        statistic_name: str,
        gold: Sequence[Any] | NDArray[Any],
        predicted: Sequence[Any] | NDArray[Any],
        *,
        unit: str = "example",
        ids: Sequence[Any] | None = None,
    ) -> Examples:
        """A score of predictions.

        Args:
            score: its name.
            statistic_name: `accuracy`, `f1`, `macro_f1`, `mcc`, `pearson`, `spearman`, `f1_accuracy`,
                `pearson_spearman`.
            gold: labels or values: (examples,).
            predicted: of one experiment (examples,), or of several (examples, experiments), which are averaged.
            unit: what one example is.
            ids: of the examples; None numbers them.
        """
        guesses = np.asarray(predicted)
        columns = {"gold": np.asarray(gold), "predicted": guesses[:, None] if guesses.ndim == 1 else guesses}
        return cls._single(score, statistic_name, unit, ids, columns)

    @classmethod
    def _single(
        cls, score: str, statistic_name: str, unit: str, ids: Sequence[Any] | None, columns: Mapping[str, NDArray[Any]]
    ) -> Examples:
        rows = len(next(iter(columns.values())))
        names = np.arange(rows) if ids is None else np.asarray(ids)
        return cls(score, statistic_name, unit, (Group("test/default", names, columns),))

    def save(self, path: str | Path) -> str:
        """Write all to `path`, whole or not at all; the same values give the same bytes.

        Returns:
            sha256 of the file.

        Raises:
            OSError: if it cannot be written; nothing is left behind.
        """
        arrays = self._arrays()
        body = {
            "version": VERSION,
            "score": self.score,
            "statistic": self.statistic_name,
            "unit": self.unit,
            "groups": [{"name": group.name, "columns": sorted(group.columns)} for group in self.groups],
            "checksum": _checksum(arrays),
        }
        buffer = io.BytesIO()
        text = np.frombuffer(json.dumps(body, sort_keys=True).encode(), np.uint8)
        np.savez_compressed(buffer, allow_pickle=False, description=text, **arrays)
        _replace(Path(path), buffer.getvalue())
        return hashlib.sha256(buffer.getvalue()).hexdigest()

    @classmethod
    def load(cls, path: str | Path) -> Examples:
        """Read a file that `save` wrote.

        Raises:
            ValueError: naming the file, if it is damaged or was written by another version.
            OSError: if it cannot be read.
        """
        content = Path(path).read_bytes()
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            body = json.loads(arrays.pop("description").tobytes())
            if body["version"] != VERSION:
                raise ValueError(f"version is {body['version']}, this one reads {VERSION}")
            if body["checksum"] != _checksum(arrays):
                raise ValueError("checksum does not match, so it was edited")
            groups = tuple(
                Group(part["name"], arrays[f"{i}.ids"], {name: arrays[f"{i}.{name}"] for name in part["columns"]})
                for i, part in enumerate(body["groups"])
            )
            return cls(body["score"], body["statistic"], body["unit"], groups)
        except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, NotImplementedError, OSError) as error:
            raise ValueError(
                f"{path}: not a usable file of per-example scores ({error}); delete it and its record, and run "
                "`zoo bench run` again"
            ) from error

    def _arrays(self) -> dict[str, NDArray[Any]]:
        arrays = {}
        for i, group in enumerate(self.groups):
            arrays[f"{i}.ids"] = group.ids
            arrays.update({f"{i}.{name}": group.columns[name] for name in sorted(group.columns)})
        return arrays


def _checksum(arrays: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype.str} {arrays[name].shape}\n".encode())
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()


def _replace(path: Path, content: bytes) -> None:
    """Put `content` at `path` through a synced temporary file beside it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
