from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mteb
import numpy as np
import pytest
from datasets import Dataset, DatasetDict
from mteb.models import ModelMeta
from mteb.models.abs_encoder import AbsEncoder
from numpy.typing import NDArray

from bench.examples import Examples
from bench.mteb_examples import from_mteb

pytestmark = pytest.mark.filterwarnings("ignore")  # of mteb about its own tasks
WORDS = [
    "red",
    "green",
    "blue",
    "black",
    "white",
    "cat",
    "dog",
    "bird",
    "fish",
    "horse",
    "runs",
    "sleeps",
    "eats",
    "sings",
]


class Bags(AbsEncoder):  # type: ignore[misc]
    """Bags of hashed words."""

    def __init__(self) -> None:
        self.mteb_model_meta = ModelMeta.create_empty(overwrites={"name": "test/bags", "revision": "1"})

    def encode(self, inputs: Any, **_: Any) -> NDArray[np.float32]:
        texts = [text for batch in inputs for text in batch["text"]]
        rows = np.full((len(texts), 16), 0.01, np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in text.split():
                row[hashlib.sha256(word.encode()).digest()[0] % 16] += 1
        return rows


def sentences(count: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, 4)) for _ in range(count)]


def ready(name: str, dataset: Any, **choices: Any) -> Any:
    task = mteb.get_task(name, **choices)
    task.dataset, task.data_loaded = dataset, True
    return task


def retrieval() -> Any:
    texts = sentences(40)
    queries = [" ".join(text.split()[:2]) for text in texts[:15]]
    judged: dict[str, dict[str, int]] = {f"q{i}": {f"d{i}": 1, f"d{i + 1}": 0, f"d{i + 5}": 2} for i in range(15)}
    judged["q3"] = {}
    split = {
        "corpus": Dataset.from_list([{"id": f"d{i}", "title": "", "text": text} for i, text in enumerate(texts)]),
        "queries": Dataset.from_list([{"id": f"q{i}", "text": text} for i, text in enumerate(queries)]),
        "relevant_docs": judged,
        "top_ranked": None,
    }
    return ready("LIMITSmallRetrieval", {"default": {"test": split}})


def sts() -> Any:
    scores = np.random.default_rng(1).integers(0, 6, 40).astype(float)
    rows = {"sentence1": sentences(40), "sentence2": sentences(40, 1), "score": scores}
    return ready("STSBenchmark", DatasetDict({"test": Dataset.from_dict(rows)}))


def labelled(count: int, seed: int) -> Dataset:
    texts = sentences(count, seed)
    return Dataset.from_dict({"text": texts, "label": [("cat" in text) + ("dog" in text) for text in texts]})


def classification() -> Any:
    splits = {"train": labelled(120, 0), "validation": labelled(30, 1), "test": labelled(40, 2)}
    return ready("PoemSentimentClassification", DatasetDict(splits))


def macro_f1() -> Any:
    task = classification()
    task.metadata = task.metadata.model_copy(update={"main_score": "f1"})
    return task


def cross_validation() -> Any:
    task = ready("PoemSentimentClassification", DatasetDict({"train": labelled(100, 0)}), eval_splits=["train"])
    task.is_cross_validation = True
    return task


def pairs() -> Any:
    rng = np.random.default_rng(3)
    rows = {"sentence1": sentences(60), "sentence2": sentences(60, 1), "labels": rng.integers(0, 2, 60)}
    return ready("KorNLI", DatasetDict({"test": Dataset.from_dict(rows)}))


def clustering() -> Any:
    texts = sentences(150)
    rows = Dataset.from_dict({"sentences": texts, "labels": [WORDS.index(text.split()[0]) % 4 for text in texts]})
    return ready("SIB200ClusteringS2S", {"eng_Latn": {"test": rows}}, hf_subsets=["eng_Latn"])


def bitext() -> Any:
    texts = sentences(50)
    other = [" ".join(text.split()[:3]) for text in texts]
    task = mteb.get_task("NusaXBitextMining")
    rows = DatasetDict({"train": Dataset.from_dict({"sentence1": texts, "sentence2": other})})
    return ready("NusaXBitextMining", dict.fromkeys(task.hf_subsets[:2], rows), hf_subsets=task.hf_subsets[:2])


def run(task: Any, folder: Path) -> tuple[dict[str, Any], Mapping[str, Any], float]:
    result = mteb.evaluate(
        Bags(), task, cache=None, prediction_folder=folder, show_progress_bar=False, co2_tracker=False
    ).task_results[0]
    predictions = json.loads(next(folder.rglob("*.json")).read_text(encoding="utf-8"))
    return predictions, result.scores, float(result.get_score())


@pytest.mark.parametrize(
    ("make", "statistic", "unit", "count"),
    [
        (retrieval, "mean", "query", 14),
        (sts, "spearman", "pair", 40),
        (classification, "accuracy", "text", 70),
        (macro_f1, "macro_f1", "text", 70),
        (cross_validation, "accuracy", "text", 100),
        (pairs, "best_ap", "pair", 60),
        (clustering, "resampled", "experiment", 10),
        (bitext, "mean", "pair", 100),
    ],
)
def test_statistic_is_the_main_score(
    make: Callable[[], Any], statistic: str, unit: str, count: int, tmp_path: Path
) -> None:
    task = make()
    predictions, scores, main = run(task, tmp_path)
    found = from_mteb(task, predictions, scores)
    assert isinstance(found, Examples), found
    assert found.statistic() == pytest.approx(main, abs=6e-6)
    assert (found.statistic_name, found.unit, found.count) == (statistic, unit, count)
    found.save(tmp_path / "x.npz")
    Examples.load(tmp_path / "x.npz").check_pair(found)


def test_a_score_of_another_kind_gives_a_reason(tmp_path: Path) -> None:
    task = sts()
    predictions, scores, _ = run(task, tmp_path)
    others = copy.deepcopy(dict(scores))
    others["test"][0]["main_score"] += 0.01
    assert "is not the plain one" in str(from_mteb(task, predictions, others))
    assert "another form than expected" in str(from_mteb(task, {}, scores))


@pytest.mark.parametrize("name", ["p-MRR", "robustness_at_10", "max_over_subqueries_map_at_1000", "mrr"])
def test_unknown_scores_of_retrieval_give_a_reason(name: str, tmp_path: Path) -> None:
    task = retrieval()
    predictions, scores, _ = run(task, tmp_path)
    task.metadata = task.metadata.model_copy(update={"main_score": name})
    assert "not made of one value a query" in str(from_mteb(task, predictions, scores))


@pytest.mark.parametrize(
    "name", ["mrr_at_10", "map_at_5", "recall_at_3", "precision_at_1", "hit_rate_at_5", "accuracy"]
)
def test_other_scores_of_retrieval(name: str, tmp_path: Path) -> None:
    task = retrieval()
    task.metadata = task.metadata.model_copy(update={"main_score": name})
    predictions, scores, main = run(task, tmp_path)
    found = from_mteb(task, predictions, scores)
    assert isinstance(found, Examples), found
    assert found.statistic() == pytest.approx(main, abs=6e-6)


@pytest.mark.parametrize("flag", ["ignore_identical_ids", "skip_first_result"])
def test_options_of_retrieval_are_honoured(flag: str, tmp_path: Path) -> None:
    task = retrieval()
    split = task.dataset["default"]["test"]
    split["corpus"] = split["corpus"].map(lambda row: {"id": row["id"].replace("d", "q")})
    split["relevant_docs"] = {
        q: {d.replace("d", "q"): s for d, s in docs.items()} for q, docs in split["relevant_docs"].items()
    }
    setattr(task, flag, True)
    predictions, scores, main = run(task, tmp_path)
    found = from_mteb(task, predictions, scores)
    assert isinstance(found, Examples), found
    assert found.statistic() == pytest.approx(main, abs=6e-6)
    setattr(task, flag, False)
    assert "is not the plain one" in str(from_mteb(task, predictions, scores)), "the option changes the score here"
