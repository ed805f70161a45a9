"""Start of `zoo bench status` in a folder of many records."""

from __future__ import annotations

import hashlib
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import records
from bench.records import Evaluation, ModelInfo, Parameters, Record, Scores, TaskInfo
from bench.speed import child

TASKS_PER_MODEL = 100


@dataclass(frozen=True)
class Result:
    """CPU seconds of the command.

    Args:
        cold: of the first call, which has no index and reads every record.
        warm: of each later call.
    """

    cold: float
    warm: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median of the later calls."""
        return statistics.median(self.warm)


def measure(count: int = 10_000, rounds: int = 5) -> Result:
    """Write `count` records to an empty folder and run the command there, once cold and then `rounds` times.

    Args:
        count: number of records, of 100 tasks a model.
        rounds: calls with an index.
    """
    with tempfile.TemporaryDirectory() as folder:
        for record in fake_records(count):
            records.write(record, folder)
        command = [*child.ZOO, "bench", "status", "--results", str(Path(folder))]
        # wide, so that no name is folded
        environment = {"ZOO_CACHE": str(Path(folder) / ".cache"), "COLUMNS": "200"}
        calls = [child.run(command, environment) for _ in range(rounds + 1)]
    if any("owner/model-0" not in call.output for call in calls):
        raise ValueError("`zoo bench status` did not show the records: run it by hand to see why")
    cold, *warm = (call.cpu_seconds for call in calls)
    return Result(cold, tuple(warm))


def fake_records(count: int) -> Iterator[Record]:
    """`count` records that differ in model or task, as large as real ones."""
    for i in range(count):
        model, task = divmod(i, TASKS_PER_MODEL)
        yield _record(model, task)


def _record(model: int, task: int) -> Record:
    value = (model * 31 + task * 17) % 1000 / 1000
    scores = {f"metric_{i}_at_{k}": value for i in range(8) for k in (1, 3, 5, 10, 20, 100, 1000)}
    return Record(
        ModelInfo(
            name=f"owner/model-{model}",
            parts={name: _sha(f"{name} {model}") for name in ("weights", "tokenizer", "pooling", "prompts")},
            kind="sentence-transformers",
            dtype="float32",
            parameters=Parameters(22_713_216, 11_720_448, 10_992_768, 0),
            bytes=90_852_864,
            dim=384,
            max_length=256,
        ),
        TaskInfo(
            name=f"Task{task}",
            type="Retrieval",
            suite="mteb",
            dataset=f"mteb/task-{task}",
            revision=_sha(f"revision {task}")[:40],
            split="test",
            subset="default",
            metric="metric_0_at_10",
            higher_is_better=True,
            languages=("eng-Latn",),
            scoring="mteb 2.26.24",
            rows=_sha(f"rows {task}"),
        ),
        Scores(value, scores),
        Evaluation(
            started="2026-01-02T03:04:05+00:00",
            seconds=12.5,
            encode_seconds=12.0,
            texts=6000,
            texts_encoded=6000,
            devices=1,
            hardware={"cpu": "a processor", "cores": 2, "memory_bytes": 2**34, "gpus": []},
            versions={"torch": "2.13.0", "mteb": "2.26.24", "numpy": "2.4.0"},
        ),
    )


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
