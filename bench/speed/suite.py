"""Wall time of a suite against plain mteb with sentence-transformers, from the start of each program to its end."""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench import records
from bench.models.opening import kind_of
from bench.speed import child
from bench.speed.ratio import Timing
from bench.suites.catalog import parse_name

TASKS = (
    "SciFact",
    "STSBenchmark",
    "SICK-R",
    "Banking77Classification",
    "SIB200ClusteringS2S[eng_Latn]",
    "PawsXPairClassification[en]@validation",
)
OURS = "zoo bench run"
THEIRS = "mteb.evaluate, float32"
AUTOCAST = "mteb.evaluate, bfloat16 autocast"


@dataclass(frozen=True)
class TaskRun:
    """One task in one round.

    Args:
        seconds: wall time of the task.
        score: its main score.
        encode_seconds: part of the time that went into the model; None where nobody measured it.
    """

    seconds: float
    score: float
    encode_seconds: float | None = None

    @property
    def overhead(self) -> float | None:
        """Share of the time beyond encoding."""
        return None if self.encode_seconds is None else (self.seconds - self.encode_seconds) / self.seconds


@dataclass(frozen=True)
class SuiteRun:
    """One round of one contestant: wall time of the whole program, and its tasks by name."""

    seconds: float
    tasks: Mapping[str, TaskRun]


Runs = Mapping[str, Sequence[SuiteRun]]


def measure(
    model: str,
    tasks: Sequence[str] = TASKS,
    precision: str = "32-true",
    rounds: int = 3,
    *,
    threads: int = 2,
    autocast: bool = False,
) -> dict[str, list[SuiteRun]]:
    """Run the same tasks on the same model by each contestant in turn, with empty caches of ours.

    The data is loaded once before, so that no contestant waits for a network. sentence-transformers computes in
    float32; `autocast` adds it in bfloat16.

    Args:
        model: sentence-transformers folder or hub name.
        tasks: names, with subsets and splits as in `TASK[subset]@split`; each task once.
        precision: of ours.
        rounds: how often each contestant runs.
        threads: CPU threads of each.
        autocast: whether sentence-transformers runs in bfloat16 too.

    Raises:
        ValueError: if the model is none that both can open, a task stands twice, or a contestant fails.
    """
    if kind_of(model) != "sentence-transformers":
        raise ValueError(f"--model {model}: the comparison needs a model that sentence-transformers can open")
    names = [parse_name(task).task for task in tasks]
    if len(set(names)) < len(names):
        raise ValueError("--tasks: name each task once; its subsets go into one pair of brackets")
    contestants: dict[str, Callable[[], SuiteRun]] = {
        OURS: partial(_ours, model, tasks, precision, threads),
        THEIRS: partial(_theirs, model, tasks, threads, autocast=False),
    }
    if autocast:
        contestants[AUTOCAST] = partial(_theirs, model, tasks, threads, autocast=True)
    _plain(["--load_only", "--tasks", *tasks], threads)
    runs: dict[str, list[SuiteRun]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            runs[name].append(run())
    return runs


def rows(runs: Runs, other: str = THEIRS) -> Iterator[tuple[str, ...]]:
    """Cells of a table: a line a task, one for what is outside of tasks, one for the whole.

    Times are medians over the rounds; ratios are ours / theirs, so that below 1 we are faster.
    """
    ours, theirs = runs[OURS], runs[other]
    for task in ours[0].tasks:
        mine, other_runs = ([run.tasks[task] for run in side] for side in (ours, theirs))
        overheads = [run.overhead for run in mine if run.overhead is not None]
        gap = mine[0].score - other_runs[0].score
        yield (
            task,
            *_times([run.seconds for run in mine], [run.seconds for run in other_runs]),
            f"{mine[0].score:.5f}",
            f"{other_runs[0].score:.5f}",
            f"{gap:+.5f}",
            f"{statistics.median(overheads):.1%}" if overheads else "",
        )
    outside = [[run.seconds - sum(t.seconds for t in run.tasks.values()) for run in side] for side in (ours, theirs)]
    yield ("imports and all else", *_times(*outside), "", "", "", "")
    yield ("total", *_times([run.seconds for run in ours], [run.seconds for run in theirs]), "", "", "", "")


def total(runs: Runs, name: str) -> Timing:
    """Wall seconds of a contestant by round."""
    return Timing(tuple(run.seconds for run in runs[name]))


def _times(ours: Sequence[float], theirs: Sequence[float]) -> tuple[str, str, str]:
    ratio = statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))
    return f"{statistics.median(ours):.1f}", f"{statistics.median(theirs):.1f}", f"{ratio:.2f}"


def _ours(model: str, tasks: Sequence[str], precision: str, threads: int) -> SuiteRun:
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results"
        command = ["bench", "run", "--model", model, "--tasks", *tasks, "--results", str(results)]
        options = ["--precision", precision, "--quiet"]
        environment = {"ZOO_CACHE": str(Path(folder) / "cache"), **_threads(threads)}
        done = child.run([*child.ZOO, *command, *options], environment)
        found, _ = records.load_all(results)
    timed = {r.task.name: TaskRun(r.evaluation.seconds, r.scores.main, r.evaluation.encode_seconds) for r in found}
    return SuiteRun(done.seconds, {name: timed[name] for name in (parse_name(task).task for task in tasks)})


def _theirs(model: str, tasks: Sequence[str], threads: int, *, autocast: bool) -> SuiteRun:
    options = ["--model", model, "--tasks", *tasks, *(["--autocast"] if autocast else [])]
    seconds, lines = _plain(options, threads)
    return SuiteRun(seconds, {line["task"]: TaskRun(line["seconds"], line["score"]) for line in lines})


def _plain(options: Sequence[str], threads: int) -> tuple[float, list[dict[str, Any]]]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "lines.jsonl"
        done = child.run(["-m", "bench.speed.plain_mteb", *options, "--out", str(out)], _threads(threads))
        return done.seconds, [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


def _threads(threads: int) -> dict[str, str]:
    return {"OMP_NUM_THREADS": str(threads)}
