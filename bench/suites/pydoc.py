"""Suite `pydoc`: four mteb tasks over documented Python functions of modules that no model of ours was trained on.

Rows are chosen by a hash of their id, so that a row stays in the sample when the corpus around it changes. The
revision of a task is the sha256 of its rows.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from datasets import Dataset, DatasetDict
from mteb.abstasks import AbsTaskClassification, AbsTaskClustering, AbsTaskPairClassification, AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.types import PromptType

from bench.protocols import NotApplicableError

if TYPE_CHECKING:
    from zoo.data.pydoc_splits import PydocPair, PydocSplits

Rows = Mapping[str, Any]

DOCUMENTS = 1500
QUERIES = 500
LABELLED = 600
PAIRS = 600
MIN_PER_LABEL = 8


class _PydocTask:
    """Loading shared by the four: the rows are in memory and decide the revision."""

    metadata: TaskMetadata

    def __init__(self, rows: Rows) -> None:
        super().__init__()
        self.rows = rows
        revision = hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()
        self.metadata = self.metadata.model_copy(update={"dataset": {"path": "pydoc", "revision": revision}})


def _metadata(name: str, kind: str, main_score: str, description: str) -> TaskMetadata:
    return TaskMetadata(
        name=name,
        description=description,
        type=kind,
        category="t2c" if kind in ("Classification", "Clustering") else "t2t",
        main_score=main_score,
        eval_langs=["eng-Latn"],
        dataset={"path": "pydoc", "revision": "set by the rows"},
    )


class PydocRetrieval(_PydocTask, AbsTaskRetrieval):  # type: ignore[misc]
    """Find the code that a one-line summary describes, among the code of all held-out modules."""

    metadata = _metadata("PydocRetrieval", "Retrieval", "ndcg_at_10", "Summary of a Python function to its code.")

    @staticmethod
    def select(splits: PydocSplits) -> Rows:
        """Documents by id, queries by id, and the documents that answer each query.

        Functions that share a summary answer the same query.
        """
        pairs = _sample(splits.pairs("test"), DOCUMENTS)
        answers: dict[str, list[str]] = defaultdict(list)
        for pair in pairs:
            answers[pair.summary].append(pair.id)
        queries = list(answers)[:QUERIES]
        return {
            "corpus": {pair.id: pair.code for pair in pairs},
            "queries": {f"q{i}": summary for i, summary in enumerate(queries)},
            "relevant": {f"q{i}": answers[summary] for i, summary in enumerate(queries)},
        }

    def load_data(self, num_proc: int | None = None, **_: Any) -> None:
        """Turn the rows into mteb's form."""
        _require(len(self.rows["corpus"]) > 1, "fewer than two held-out functions")
        test = {
            "corpus": Dataset.from_list([{"id": i, "text": t, "title": ""} for i, t in self.rows["corpus"].items()]),
            "queries": Dataset.from_list([{"id": i, "text": t} for i, t in self.rows["queries"].items()]),
            "relevant_docs": {q: dict.fromkeys(ids, 1) for q, ids in self.rows["relevant"].items()},
            "top_ranked": None,
        }
        self.dataset = {"default": {"test": test}}
        self.data_loaded = True


class PydocClassification(_PydocTask, AbsTaskClassification):  # type: ignore[misc]
    """Say which package a function belongs to, from its docstring, after eight examples of each."""

    metadata = _metadata("PydocClassification", "Classification", "accuracy", "Docstring to package.")

    @staticmethod
    def select(splits: PydocSplits) -> Rows:
        """Labelled docstrings, equally many of each package: `train` of training modules, `test` of held-out ones."""
        train, test = _by_package(splits.pairs("train")), _by_package(splits.pairs("test"))
        labels = [p for p in sorted(test) if min(len(test[p]), len(train.get(p, ()))) >= MIN_PER_LABEL]
        return {"train": _labelled(train, labels, LABELLED), "test": _labelled(test, labels, LABELLED)}

    def load_data(self, num_proc: int | None = None, **_: Any) -> None:
        """Turn the rows into mteb's form."""
        _require_labels(self.rows["test"])
        self.dataset = DatasetDict(
            {
                split: Dataset.from_dict({"text": rows["texts"], "label": rows["labels"]})
                for split, rows in self.rows.items()
            }
        )
        self.data_loaded = True


class PydocClustering(_PydocTask, AbsTaskClustering):  # type: ignore[misc]
    """Group docstrings so that the groups are the packages."""

    metadata = _metadata("PydocClustering", "Clustering", "v_measure", "Docstrings grouped by package.")
    max_fraction_of_documents_to_embed = None
    max_documents_per_cluster = 2048

    @staticmethod
    def select(splits: PydocSplits) -> Rows:
        """Labelled docstrings of held-out modules, equally many of each package."""
        test = _by_package(splits.pairs("test"))
        return _labelled(test, [p for p in sorted(test) if len(test[p]) >= MIN_PER_LABEL], LABELLED)

    def load_data(self, num_proc: int | None = None, **_: Any) -> None:
        """Turn the rows into mteb's form."""
        _require_labels(self.rows)
        test = Dataset.from_dict({"sentences": self.rows["texts"], "labels": self.rows["labels"]})
        self.dataset = DatasetDict({"test": test})
        self.data_loaded = True


class PydocPairClassification(_PydocTask, AbsTaskPairClassification):  # type: ignore[misc]
    """Say whether a summary describes a piece of code; the wrong code comes from the same package."""

    metadata = _metadata("PydocPairClassification", "PairClassification", "max_ap", "Is this the summary of this code?")
    input1_prompt_type: ClassVar[PromptType] = PromptType.query
    input2_prompt_type: ClassVar[PromptType] = PromptType.document

    @staticmethod
    def select(splits: PydocSplits) -> Rows:
        """Each summary once with its code (1) and once with the code of the next function of the package (0)."""
        rows: dict[str, list[Any]] = {"sentence1": [], "sentence2": [], "labels": []}
        for members in _by_package(_sample(splits.pairs("test"), PAIRS // 2)).values():
            for pair, other in zip(members, [*members[1:], members[0]], strict=True):
                if pair.summary == other.summary:
                    continue
                rows["sentence1"] += [pair.summary, pair.summary]
                rows["sentence2"] += [pair.code, other.code]
                rows["labels"] += [1, 0]
        return rows

    def load_data(self, num_proc: int | None = None, **_: Any) -> None:
        """Turn the rows into mteb's form."""
        _require(len(self.rows["labels"]) > 1, "no two held-out functions of one package with different summaries")
        self.dataset = DatasetDict({"test": Dataset.from_dict(dict(self.rows))})
        self.data_loaded = True


TASKS = (PydocRetrieval, PydocClassification, PydocClustering, PydocPairClassification)


@functools.lru_cache(maxsize=1 << 17)
def _rank(row_id: str) -> bytes:
    return hashlib.sha256(row_id.encode()).digest()


def _sample(pairs: Iterable[PydocPair], count: int) -> list[PydocPair]:
    return sorted(pairs, key=lambda pair: _rank(pair.id))[:count]


def _by_package(pairs: Iterable[PydocPair]) -> dict[str, list[PydocPair]]:
    groups: dict[str, list[PydocPair]] = defaultdict(list)
    for pair in pairs:
        groups[pair.package].append(pair)
    return groups


def _labelled(groups: Mapping[str, Sequence[PydocPair]], labels: Sequence[str], count: int) -> dict[str, list[Any]]:
    each = min([count // max(len(labels), 1), *(len(groups[label]) for label in labels)])
    chosen = [(pair, i) for i, label in enumerate(labels) for pair in _sample(groups[label], each)]
    return {"texts": [pair.docstring for pair, _ in chosen], "labels": [i for _, i in chosen]}


def _require_labels(rows: Rows) -> None:
    _require(len(set(rows["labels"])) > 1, f"fewer than two packages with {MIN_PER_LABEL} documented functions")


def _require(enough: bool, reason: str) -> None:
    if not enough:
        raise NotApplicableError(f"the corpus is too small: {reason}; name more --packages")
