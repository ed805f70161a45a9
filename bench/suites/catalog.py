"""Names of suites and tasks, and how they are made. Importing this imports no mteb."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.glue.specs import SPECS
from bench.protocols import Task
from bench.words.names import NAMES

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask

    from bench.data.bundle import Bundle
    from bench.records import TaskInfo
    from zoo.data.pydoc_splits import PydocSplits

SUITES: Mapping[str, tuple[str, ...]] = {
    "pydoc": ("PydocRetrieval", "PydocClassification", "PydocClustering", "PydocPairClassification"),
    "lm": ("PydocText", "PydocTextMasked"),
    # Small members of MTEB(eng, v2) and BEIR, one or more of each kind of task; minutes on a CPU.
    "mini": (
        "SciFact",
        "LIMITSmallRetrieval",
        "STSBenchmark",
        "SICK-R",
        "Banking77Classification",
        "TweetSentimentExtractionClassification",
        "SIB200ClusteringS2S[eng_Latn]",
        "PawsXPairClassification[en]@validation",
    ),
    "glue": tuple(f"GLUE/{name}" for name in SPECS),
    "efficiency": ("EncodingLatency", "EncodingThroughput", "PeakMemory", "ModelSize"),
    "geometry": ("InputTableGeometry", "OutputTableGeometry", "SentenceGeometry"),
    # each on the input and on the output table
    "words": tuple(f"Words/{name}" for name in NAMES),
}
DEFAULT_SUITES = ("pydoc", "lm")
BY_NAME_ONLY = ("WikiText2", "WikiText2Masked")  # needs the hub, so no suite runs it unasked


@dataclass(frozen=True)
class Sources:
    """Where tasks take their data from.

    Args:
        packages: that the embedded corpus is made of; None takes its default.
        cache_dir: root of the caches; None takes its default.
        bundle: file with the data of the hub; None reads the hub.
        device: that efficiency is measured on; None is the best there is.
        glue_recipe: name of the fine-tuning recipe.
        word_sets: folder with the files of word similarity; None reads the hub.
    """

    packages: Sequence[str] | None = None
    cache_dir: str | None = None
    bundle: Bundle | None = None
    device: str | None = None
    glue_recipe: str | None = None
    word_sets: str | None = None


@dataclass(frozen=True)
class Name:
    """A task by name, with the subsets and splits that are asked for; empty tuples take all official ones."""

    task: str
    subsets: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()


def parse_name(text: str) -> Name:
    """A name as people write it: `TASK`, `TASK[subset,subset]`, `TASK@split` or `TASK[subset]@split,split`.

    Example:
        >>> parse_name("SIB200ClusteringS2S[eng_Latn]@test")
        Name(task='SIB200ClusteringS2S', subsets=('eng_Latn',), splits=('test',))
        >>> parse_name("MTEB(eng, v2)").task
        'MTEB(eng, v2)'
    """
    found = re.fullmatch(r"([^\[\]@]+)(?:\[([^\[\]@]+)\])?(?:@([^\[\]@]+))?", text)
    if found is None:
        raise ValueError(f"--tasks {text}: write TASK, TASK[subset,subset], TASK@split or TASK[subset]@split")
    task, subsets, splits = found.groups()
    return Name(task, _listed(subsets), _listed(splits))


def _listed(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",")) if text else ()


def build(suites: Sequence[str], tasks: Sequence[str], sources: Sources | None = None) -> list[Task]:
    """Tasks of `suites` and those named in `tasks`, each once, in this order.

    Args:
        suites: names in `SUITES`, or official benchmarks of mteb.
        tasks: names of our tasks, of official mteb tasks (`parse_name` says how), or of official mteb benchmarks.
        sources: where the data comes from.

    Raises:
        ValueError: for a name that no one knows, with the nearest that exists.
    """
    maker = _Maker(sources or Sources())
    built: dict[tuple[str, str, str], Task] = {}
    for flag, text in [*(("--suite", suite) for suite in suites), *(("--tasks", task) for task in tasks)]:
        names = [parse_name(name) for name in SUITES[text]] if text in SUITES else [parse_name(text)]
        for name in names:
            for task in maker.make(flag, name):
                built.setdefault((task.info.name, task.info.subset, task.info.split), task)
    return list(built.values())


def again(info: TaskInfo, sources: Sources | None = None) -> Task:
    """The task of a record, with its subsets and splits.

    Raises:
        ValueError: if no task of this name is known any more.
    """
    maker = _Maker(sources or Sources())
    subsets, splits = (tuple(text.split("+")) for text in (info.subset, info.split))
    name = Name(info.name, subsets, splits) if info.suite == "mteb" else Name(info.name)
    return maker.make("record of", name)[0]


class _Maker:
    """Makes tasks that share their sources, so that a corpus is read once."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self.splits = functools.cache(self._splits)

    def make(self, flag: str, name: Name) -> list[Task]:
        """The task, or the tasks of the benchmark, called `name`."""
        if name.task in SUITES["pydoc"]:
            return [self._pydoc(name.task)]
        if name.task in SUITES["lm"] or name.task in BY_NAME_ONLY:
            return [self._language_model(name.task)]
        if name.task.startswith("GLUE/"):
            return self._glue(name.task)
        if name.task in SUITES["efficiency"]:
            return self._efficiency(name.task)
        if name.task in SUITES["geometry"]:
            return [self._geometry(name.task)]
        if name.task.startswith("Words/"):
            return self._words(name)
        return self._official(flag, name)

    def _splits(self) -> PydocSplits:
        from zoo.data.pydoc_splits import load_pydoc

        return load_pydoc(packages=self._sources.packages, cache_dir=self._sources.cache_dir)

    def _pydoc(self, name: str) -> Task:
        from bench.suites import pydoc
        from bench.suites.mteb_task import MtebTask

        task = next(cls for cls in pydoc.TASKS if cls.metadata.name == name)
        return MtebTask(functools.partial(task, task.select(self.splits())), "pydoc")

    def _language_model(self, name: str) -> Task:
        from bench.suites import lm

        kind: lm.Kind = "masked" if name.endswith("Masked") else "causal"
        return lm.pydoc_text(self.splits(), kind) if name in SUITES["lm"] else lm.wikitext2(kind, self._sources.bundle)

    def _glue(self, name: str) -> list[Task]:
        from bench.suites import glue

        return list(glue.tasks([name], self._sources))

    def _efficiency(self, name: str) -> list[Task]:
        from bench.suites import efficiency

        made = efficiency.tasks(self._sources.device, self._sources.cache_dir)
        return [task for task in made if task.info.name == name]

    def _geometry(self, name: str) -> Task:
        from bench.suites import geometry

        return geometry.TableGeometry(name) if name in geometry.TABLES else geometry.SentenceGeometry(self.splits())

    def _words(self, name: Name) -> list[Task]:
        from bench.suites import word_similarity

        return list(word_similarity.tasks(name, self._sources))

    def _official(self, flag: str, name: Name) -> list[Task]:
        from bench.data.known import KnownRows
        from bench.suites.mteb_task import MtebTask
        from zoo.data.cache import cache_root

        found = official(flag, name)
        known = KnownRows(cache_root(self._sources.cache_dir) / "rows") if self._sources.bundle is None else None
        return [
            MtebTask(functools.partial(_fresh, task), "mteb", bundle=self._sources.bundle, known=known)
            for task in found
        ]


def official(flag: str, name: Name) -> list[AbsTask]:
    """The official task, or those of the official benchmark, called `name`; a mean of tasks becomes those tasks.

    Raises:
        ValueError: if there is none, or it has not the subsets or splits.
    """
    import mteb
    from mteb.abstasks.aggregated_task import AbsTaskAggregate

    try:
        found: list[AbsTask] = [mteb.get_task(name.task)]
    except KeyError as no_task:
        try:
            found = list(mteb.get_benchmark(name.task).tasks)
        except KeyError:
            raise ValueError(f"{flag} {name.task}: {_advice(flag, name.task, no_task)}") from no_task
        if name.subsets or name.splits:
            raise ValueError(f"{flag} {name.task}: a benchmark; name its tasks to choose subsets or splits") from None
    else:
        found = [_narrowed(flag, found[0], name)]
    parts = [task.metadata.tasks if isinstance(task, AbsTaskAggregate) else [task] for task in found]
    return [task for tasks in parts for task in tasks]


def _narrowed(flag: str, task: AbsTask, name: Name) -> AbsTask:
    import mteb

    for what, wanted, there in (
        ("subset", name.subsets, list(task.metadata.hf_subsets)),
        ("split", name.splits, [*task.metadata.eval_splits, "train", "validation", "dev", "test"]),
    ):
        unknown = [part for part in wanted if part not in there]
        if unknown:
            near = difflib.get_close_matches(unknown[0], there, n=3, cutoff=0.5) or there[:5]
            raise ValueError(f"{flag} {name.task}: no {what} {unknown[0]!r}; there is {', '.join(near)}")
    if not name.subsets and not name.splits:
        return task
    return mteb.get_task(name.task, eval_splits=list(name.splits) or None, hf_subsets=list(name.subsets) or None)


def _fresh(task: AbsTask) -> AbsTask:
    """The same task, splits and subsets as a new object, as its constructor left it."""
    import mteb

    return mteb.get_task(task.metadata.name, eval_splits=task.eval_splits, hf_subsets=task.hf_subsets)


def _advice(flag: str, name: str, error: KeyError) -> str:
    ours = [*SUITES, *BY_NAME_ONLY, *(task for tasks in SUITES.values() for task in tasks)]
    near = difflib.get_close_matches(name, ours, n=1)
    if near:
        return f"no such task or suite; did you mean {near[0]}?"
    if flag == "--suite":
        return f"no such suite; there are {', '.join(SUITES)}, and the benchmarks of mteb"
    return f"neither a task of ours, nor of mteb, nor a benchmark of mteb ({error.args[0]})"
