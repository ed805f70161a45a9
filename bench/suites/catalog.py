"""Names of suites and tasks, and how they are made. Importing this imports no mteb."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from bench.protocols import Task

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask

    from zoo.data.pydoc_splits import PydocSplits

SUITES: Mapping[str, tuple[str, ...]] = {
    "pydoc": ("PydocRetrieval", "PydocClassification", "PydocClustering", "PydocPairClassification"),
    "lm": ("PydocText",),
}
BY_NAME_ONLY = ("WikiText2",)  # needs the hub, so no suite runs it unasked


def build(
    suites: Sequence[str],
    tasks: Sequence[str],
    *,
    packages: Sequence[str] | None = None,
    cache_dir: str | None = None,
) -> list[Task]:
    """Tasks of `suites` and those named in `tasks`, each once, in this order.

    Args:
        suites: names in `SUITES`.
        tasks: names of our tasks, of official mteb tasks, or of official mteb benchmarks.
        packages: that the embedded corpus is made of; None takes its default.
        cache_dir: of the embedded corpus; None takes its default.

    Raises:
        ValueError: for a name that no one knows, with the nearest that exists.
    """
    unknown = [suite for suite in suites if suite not in SUITES]
    if unknown:
        raise ValueError(f"--suite {unknown[0]}: no such suite; there are {', '.join(SUITES)}")
    names = list(dict.fromkeys([*(name for suite in suites for name in SUITES[suite]), *tasks]))

    @functools.cache
    def splits() -> PydocSplits:
        from zoo.data.pydoc_splits import load_pydoc

        return load_pydoc(packages=packages, cache_dir=cache_dir)

    built: dict[str, Task] = {}
    for name in names:
        for task in _ours(name, splits) or _official(name):
            built.setdefault(task.info.name, task)
    return list(built.values())


def _ours(name: str, splits: Callable[[], PydocSplits]) -> list[Task]:
    if name == "PydocText":
        from bench.suites.lm import pydoc_text

        return [pydoc_text(splits())]
    if name == "WikiText2":
        from bench.suites.lm import wikitext2

        return [wikitext2()]
    if name not in SUITES["pydoc"]:
        return []
    from bench.suites import pydoc
    from bench.suites.mteb_task import MtebTask

    task = next(cls for cls in pydoc.TASKS if cls.metadata.name == name)
    return [MtebTask(functools.partial(task, task.select(splits())), "pydoc")]


def _official(name: str) -> list[Task]:
    import mteb
    from mteb.abstasks.aggregated_task import AbsTaskAggregate

    from bench.suites.mteb_task import MtebTask

    try:
        found: list[AbsTask] = [mteb.get_task(name)]
    except KeyError as no_task:
        try:
            found = list(mteb.get_benchmark(name).tasks)
        except KeyError:
            raise ValueError(f"--tasks {name}: {_advice(name, no_task)}") from no_task
    aggregates = [task.metadata.name for task in found if isinstance(task, AbsTaskAggregate)]
    if aggregates:
        raise ValueError(f"--tasks {aggregates[0]}: a mean of other tasks; name those instead")
    return [MtebTask(functools.partial(_fresh, task), "mteb") for task in found]


def _fresh(task: AbsTask) -> AbsTask:
    """The same task, splits and subsets as a new object, as its constructor left it."""
    import mteb

    return mteb.get_task(task.metadata.name, eval_splits=task.eval_splits, hf_subsets=task.hf_subsets)


def _advice(name: str, error: KeyError) -> str:
    import difflib

    ours = [task for tasks in SUITES.values() for task in tasks] + list(BY_NAME_ONLY)
    near = difflib.get_close_matches(name, ours, n=1)
    if near:
        return f"no such task; did you mean {near[0]}?"
    return f"neither a task of ours, nor of mteb, nor a benchmark of mteb ({error.args[0]})"
