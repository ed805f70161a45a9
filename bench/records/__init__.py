"""One JSON file a (model, task): the only source of every number on a leaderboard. Standard library only."""

from bench.records.files import Problem, examples_path, load_all, path_of, read, write
from bench.records.types import (
    Axes,
    DataCheck,
    Evaluation,
    ExamplesFile,
    Interval,
    ModelInfo,
    ModelKind,
    Parameters,
    Record,
    Scores,
    TaskInfo,
    differences,
    revision_of,
)

__all__ = [
    "Axes",
    "DataCheck",
    "Evaluation",
    "ExamplesFile",
    "Interval",
    "ModelInfo",
    "ModelKind",
    "Parameters",
    "Problem",
    "Record",
    "Scores",
    "TaskInfo",
    "differences",
    "examples_path",
    "load_all",
    "path_of",
    "read",
    "revision_of",
    "write",
]
