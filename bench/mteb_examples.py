"""Per-example values of mteb's tasks, out of the predictions that mteb saves.

Every group is computed again and compared with mteb's own score, so that a task that scores in a way of its own gives a
reason instead of wrong values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.examples import Examples, Group

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask

TOLERANCE = 1e-5  # mteb rounds the scores of retrieval to five digits

_RETRIEVAL = {"ndcg": "ndcg_cut", "map": "map_cut", "recall": "recall", "precision": "P", "hit_rate": "success"}
_SIMILARITIES = {
    "similarity": "similarity_scores",
    "cosine": "cosine_scores",
    "manhattan": "manhattan_distances",
    "euclidean": "euclidean_distances",
    "dot": "dot_scores",
}
Columns = Mapping[str, NDArray[Any]]
Part = tuple[str, str, NDArray[Any], Columns]  # statistic, unit, ids, columns


class UnknownError(Exception):
    """There are no per-example values of this score; the message says why."""


def from_mteb(
    task: AbsTask, predictions: Mapping[str, Any], scores: Mapping[str, Sequence[Mapping[str, Any]]]
) -> Examples | str:
    """Per-example values of the main score of a task, or the reason why there are none.

    Args:
        task: as it was scored, with its data loaded.
        predictions: what mteb saved, `{subset: {split: ...}}`.
        scores: of the same run, `{split: [{"hf_subset": ..., "main_score": ..., ...}]}`.
    """
    name = task.metadata.main_score
    groups: list[Group] = []
    kinds: set[tuple[str, str]] = set()
    try:
        for split, parts in scores.items():
            for part in parts:
                found = _groups(task, predictions, split, part)
                for group, statistic, unit in found:
                    kinds.add((statistic, unit))
                    groups.append(group)
                _check(name, found, part)
    except UnknownError as reason:
        return str(reason)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        return f"mteb's predictions of {task.metadata.name} have another form than expected: {error!r}"
    if len(kinds) != 1:
        return "the parts of this task are not scored in one way"
    statistic, unit = kinds.pop()
    return Examples(name, statistic, unit, tuple(groups))


def _check(name: str, groups: Sequence[tuple[Group, str, str]], part: Mapping[str, Any]) -> None:
    values = [Examples(name, statistic, unit, (group,)).statistic() for group, statistic, unit in groups]
    ours, its = float(np.mean(values)), float(part["main_score"])
    if not math.isclose(ours, its, abs_tol=TOLERANCE, rel_tol=0):
        raise UnknownError(
            f"{name} of this task is not the plain one: {ours:.6f} from its predictions, {its:.6f} by mteb"
        )


def _groups(
    task: AbsTask, predictions: Mapping[str, Any], split: str, part: Mapping[str, Any]
) -> list[tuple[Group, str, str]]:
    """Groups of one split and subset, with statistic and unit: one, or one a fold of a cross-validation."""
    subset = part["hf_subset"]
    reader = _reader(task)
    found = []
    for suffix, (statistic, unit, ids, columns) in reader(task, predictions, split, subset, part).items():
        found.append((Group(f"{split}/{subset}{suffix}", ids, columns), statistic, unit))
    return found


Reader = Callable[["AbsTask", Mapping[str, Any], str, str, Mapping[str, Any]], dict[str, Part]]


def _reader(task: AbsTask) -> Reader:
    from mteb import abstasks
    from mteb.abstasks.clustering_legacy import AbsTaskClusteringLegacy
    from mteb.abstasks.multilabel_classification import AbsTaskMultilabelClassification

    readers: list[tuple[type, Reader]] = [
        (abstasks.AbsTaskRetrieval, _retrieval),
        (abstasks.AbsTaskSTS, _sts),
        (abstasks.AbsTaskPairClassification, _pair_classification),
        (abstasks.AbsTaskBitextMining, _bitext),
        (abstasks.AbsTaskClustering, _clustering),
        (AbsTaskClusteringLegacy, _clustering_sets),
        (abstasks.AbsTaskSummarization, _summarization),
    ]
    if not isinstance(task, AbsTaskMultilabelClassification):
        readers.append((abstasks.AbsTaskClassification, _classification))
    for cls, reader in readers:
        if isinstance(task, cls):
            return reader
    raise UnknownError(f"no per-example values are known for tasks of type {task.metadata.type}")


def _data(task: AbsTask, split: str, subset: str) -> Any:
    assert task.dataset is not None, "the data of the task must be loaded"
    if subset not in task.dataset and subset == "default":
        return task.dataset[split]
    return task.dataset[subset][split]


def _retrieval(
    task: Any, predictions: Mapping[str, Any], split: str, subset: str, _: Mapping[str, Any]
) -> dict[str, Part]:
    judged = {query: docs for query, docs in _data(task, split, subset)["relevant_docs"].items() if docs}
    rankings = {query: dict(docs) for query, docs in predictions[subset][split].items()}
    if task.ignore_identical_ids:
        rankings = {query: {d: s for d, s in docs.items() if d != query} for query, docs in rankings.items()}
    values = _per_query(task.metadata.main_score, rankings, judged, task.skip_first_result)
    ids = sorted(values)
    return {"": ("mean", "query", np.array(ids), {"values": np.array([values[query] for query in ids])})}


def _per_query(
    name: str, rankings: dict[str, dict[str, float]], judged: dict[str, dict[str, int]], skip_first: bool
) -> dict[str, float]:
    import pytrec_eval
    from mteb._evaluators.retrieval_metrics import mrr

    kind, _, cut = ("recall_at_1" if name == "accuracy" else name).rpartition("_at_")
    if not cut.isdecimal() or kind not in (*_RETRIEVAL, "mrr"):
        raise UnknownError(f"{name} is not made of one value a query that is known here")
    if skip_first:
        rankings = {q: dict(sorted(d.items(), key=lambda x: x[1], reverse=True)[1:]) for q, d in rankings.items()}
    if kind == "mrr":
        values = mrr(judged, rankings, [int(cut)])[f"MRR@{cut}"]
        return dict(zip(rankings, values, strict=True))
    evaluator = pytrec_eval.RelevanceEvaluator(judged, {f"{_RETRIEVAL[kind]}.{cut}"})
    return {query: found[f"{_RETRIEVAL[kind]}_{cut}"] for query, found in evaluator.evaluate(rankings).items()}


def _sts(task: Any, predictions: Mapping[str, Any], split: str, subset: str, _: Mapping[str, Any]) -> dict[str, Part]:
    similarity, _, statistic = task.metadata.main_score.rpartition("_")
    saved = predictions[subset][split]
    key = _SIMILARITIES[similarity or "similarity"]
    predicted = saved[key] if saved[key] is not None else saved["cosine_scores"]
    gold = np.array(list(map(task._normalize, _data(task, split, subset)["score"])))
    columns = {"gold": gold, "predicted": np.array(predicted)[:, None]}
    return {"": (statistic, "pair", np.arange(len(gold)), columns)}


def _pair_classification(
    task: Any, predictions: Mapping[str, Any], split: str, subset: str, _: Mapping[str, Any]
) -> dict[str, Part]:
    data, saved = _data(task, split, subset), predictions[subset][split]
    labels = (data[0] if len(data) == 1 else data)[task.label_column_name]
    side, _, kind = task.metadata.main_score.rpartition("_")
    sides = list(_SIMILARITIES) if side == "max" else [side]
    signs = {"manhattan": -1, "euclidean": -1}
    scores = np.stack([signs.get(s, 1) * np.array(saved[_SIMILARITIES[s]]) for s in sides], axis=1)
    gold = np.asarray(labels, dtype=np.int64)
    return {"": (f"best_{kind}", "pair", np.arange(len(gold)), {"gold": gold, "scores": scores})}


def _classification(
    task: Any, predictions: Mapping[str, Any], split: str, subset: str, _: Mapping[str, Any]
) -> dict[str, Part]:
    statistic = {"accuracy": "accuracy", "f1": "macro_f1"}.get(task.metadata.main_score)
    if statistic is None:
        raise UnknownError(f"{task.metadata.main_score} of a classification is not known here")
    saved, gold = predictions[subset][split], np.array(_data(task, split, subset)[task.label_column_name])
    if not task.is_cross_validation:
        columns = {"gold": gold, "predicted": np.array(saved).T}
        return {"": (statistic, "text", np.arange(len(gold)), _as_codes(columns))}
    from sklearn.model_selection import KFold

    folds = KFold(n_splits=task.n_splits, shuffle=True, random_state=task.seed).split(range(len(gold)))
    return {
        f"/fold {number}": (
            statistic,
            "text",
            rows,
            _as_codes({"gold": gold[rows], "predicted": np.array(guesses)[:, None]}),
        )
        for number, ((_, rows), guesses) in enumerate(zip(folds, saved, strict=True))
    }


def _as_codes(columns: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Labels as small integers; those of the data come first, so that two models get the same codes for them."""
    classes = {label: code for code, label in enumerate(sorted(set(columns["gold"].tolist())))}
    for label in sorted(set(columns["predicted"].ravel().tolist()) - set(classes)):
        classes[label] = len(classes)
    return {
        name: np.array([classes[label] for label in column.ravel().tolist()], np.int32).reshape(column.shape)
        for name, column in columns.items()
    }


def _bitext(
    task: Any, predictions: Mapping[str, Any], split: str, subset: str, _: Mapping[str, Any]
) -> dict[str, Part]:
    if task.metadata.main_score not in ("f1", "accuracy"):
        raise UnknownError(f"{task.metadata.main_score} of bitext mining is not known here")
    saved = predictions["parallel"][split][subset] if task.parallel_subsets else predictions[subset][split]
    neighbours = saved if task.parallel_subsets else saved["sentence1-sentence2"]
    data = task.dataset[split] if task.parallel_subsets else _data(task, split, subset)
    found = np.array([row["corpus_id"] for row in neighbours])
    gold = np.array([pair[1] for pair in data["gold"]]) if "gold" in data else np.arange(len(found))
    values = (found == gold).astype(float)
    if task.metadata.main_score == "f1":
        values = _f1_of_label(gold, found)
    return {"": ("mean", "pair", np.arange(len(found)), {"values": values})}


def _f1_of_label(gold: NDArray[Any], found: NDArray[Any]) -> NDArray[np.float64]:
    """F1 of the class of each example; their mean is the F1 weighted by support."""
    size = int(max(gold.max(), found.max())) + 1
    hits = np.bincount(gold[gold == found], minlength=size)
    total = np.bincount(gold, minlength=size) + np.bincount(found, minlength=size)
    values: NDArray[np.float64] = 2 * hits[gold] / total[gold]
    return values


def _clustering(task: Any, _: Mapping[str, Any], split: str, subset: str, part: Mapping[str, Any]) -> dict[str, Part]:
    """Each experiment clusters a resample of the documents anew, so that the experiments are a bootstrap already.

    Most of their spread is that of k-means itself. Where more documents are drawn than there are, the part that the
    documents have in it is too small; scaling it up would scale the noise of k-means too, so it is left as it is.
    """
    key = {"v_measure": "v_measures", "ami": "ami_scores"}.get(task.metadata.main_score)
    if key is None:
        raise UnknownError(f"{task.metadata.main_score} of a clustering is not known here")
    values = np.array([value for experiments in part[key].values() for value in experiments], float)
    return {"": ("resampled", "experiment", np.arange(len(values)), {"values": values})}


def _clustering_sets(
    task: Any, _: Mapping[str, Any], split: str, subset: str, part: Mapping[str, Any]
) -> dict[str, Part]:
    if task.metadata.main_score != "v_measure" or "v_measures" not in part:
        raise UnknownError("one clustering of all documents: there is nothing to resample")
    values = np.array(part["v_measures"], float)
    return {"": ("mean", "set of documents", np.arange(len(values)), {"values": values})}


def _summarization(
    task: Any, predictions: Mapping[str, Any], split: str, subset: str, _: Mapping[str, Any]
) -> dict[str, Part]:
    from scipy import stats

    similarity, _, kind = task.metadata.main_score.rpartition("_")
    correlate = {"spearman": stats.spearmanr, "pearson": stats.pearsonr}[kind]
    saved, data = predictions[subset][split], _data(task, split, subset)
    guesses = saved[_SIMILARITIES[similarity or "similarity"]]
    ids = [i for i, scores in enumerate(data[task.relevancy_column_name]) if len(set(scores)) > 1]
    if len(ids) != len(guesses):
        raise UnknownError("mteb left out texts whose summaries are all scored alike, and does not say which")
    results = [correlate(gold, guess) for gold, guess in zip(saved["human_scores"], guesses, strict=True)]
    # the first version of SummEval averages each correlation with its p-value, a bug that mteb keeps
    old = task.evaluator.__name__.startswith("Deprecated")
    values = [(r.statistic + r.pvalue) / 2 if old else r.statistic for r in results]
    return {"": ("mean", "text", np.array(ids), {"values": np.array(values)})}
