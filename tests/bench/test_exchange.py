from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mteb
import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from bench import records
from bench.adapters import model_meta
from bench.exchange import export, import_results, model_meta_of
from bench.records import Record, Scores
from bench.suites.mteb_task import flatten


@pytest.fixture
def official(new_record: Callable[..., Record]) -> Callable[..., Record]:
    """`official(task, scores, **changes of the task)`: a record as it is made of scores in the form of mteb."""

    def make(
        task: str, scores: dict[str, Any], model: str = "full", source: str | None = None, **changes: Any
    ) -> Record:
        metadata = mteb.get_task(task).metadata
        parts = [part for parts in scores.values() for part in parts]
        made = new_record(model, task)
        info = dataclasses.replace(
            made.task,
            suite="mteb",
            dataset=metadata.dataset["path"],
            revision=metadata.dataset["revision"],
            split="+".join(scores),
            subset="+".join(dict.fromkeys(part["hf_subset"] for part in parts)),
            metric=metadata.main_score,
            scoring=f"mteb {mteb.__version__}",
            **changes,
        )
        main = float(np.mean([part["main_score"] for part in parts]))
        return dataclasses.replace(
            made,
            model=dataclasses.replace(made.model, source=source),
            task=info,
            scores=Scores(main, flatten(scores)),
        )

    return make


def part(subset: str, languages: list[str], **scores: float) -> dict[str, Any]:
    return {"hf_subset": subset, "languages": languages, "main_score": next(iter(scores.values())), **scores}


STS = {"test": [part("default", ["eng-Latn"], cosine_spearman=0.8, pearson=0.7)]}
NUSA = {
    "test": [
        part("ace", ["ace-Latn"], accuracy=0.5, f1=0.25),
        part("eng", ["eng-Latn"], accuracy=0.75, f1=0.5),
    ],
    "validation": [part("ace", ["ace-Latn"], accuracy=0.25, f1=0.125)],
}


def test_mteb_loads_what_was_exported(official: Callable[..., Record], tmp_path: Path) -> None:
    made = [official("STSBenchmark", STS), official("NusaX-senti", NUSA), official("STSBenchmark", STS, "other")]
    for record in made:
        records.write(record, tmp_path / "results")
    report = export(tmp_path / "results", tmp_path / "out")
    assert len(report.written) == 3
    assert not report.problems
    metas = {record.model.name: model_meta_of(record.model) for record in made}
    loaded = mteb.ResultCache(cache_path=tmp_path / "out").load_results(
        models=list(metas.values()), include_remote=False
    )
    assert {result.model_name for result in loaded.model_results} == {"zoo/full", "zoo/other"}
    for result in loaded.model_results:
        record = next(r for r in made if f"zoo/{r.model.name}" == result.model_name)
        assert result.model_revision == record.model.revision
        for task in result.task_results:
            expected = {"STSBenchmark": STS, "NusaX-senti": NUSA}[task.task_name]
            found = {
                split: [{k: v for k, v in part.items() if k != "mteb_version"} for part in parts]
                for split, parts in task.scores.items()
            }
            assert found == expected
            assert task.mteb_version == mteb.__version__
            assert task.dataset_revision == mteb.get_task(task.task_name).metadata.dataset["revision"]
            assert task.evaluation_time == record.evaluation.seconds
            assert task.get_score() == pytest.approx(np.mean([p["main_score"] for ps in expected.values() for p in ps]))


class Letters:
    """Counts of letters, as an encoder of mteb."""

    def __init__(self, meta: Any) -> None:
        self.mteb_model_meta = meta

    def encode(self, inputs: Any, **_: Any) -> Any:
        texts = [text for batch in inputs for text in batch["text"]]
        return np.array([[text.count(letter) + 0.01 for letter in "abcdefgh"] for text in texts])

    def similarity(self, left: Any, right: Any) -> Any:
        return mteb.similarity_functions.cos_sim(left, right)

    def similarity_pairwise(self, left: Any, right: Any) -> Any:
        return mteb.similarity_functions.pairwise_cos_sim(left, right)


def test_the_export_equals_what_mteb_itself_keeps(official: Callable[..., Record], tmp_path: Path) -> None:
    task = mteb.get_task("PoemSentimentClassification.v2", eval_splits=["test"])
    features = Features({"text": Value("string"), "label": ClassLabel(names=["a", "b"])})
    words = ["abba", "baba", "dach", "fach", "head", "gaff"] * 4
    split = Dataset.from_dict({"text": words, "label": [0, 0, 0, 1, 1, 1] * 4}, features)
    task.dataset, task.data_loaded = DatasetDict({"train": split, "test": split}), True
    info = official(task.metadata.name, STS).model
    own = mteb.ResultCache(cache_path=tmp_path / "mteb")
    meta = model_meta(info)
    result = mteb.evaluate(
        Letters(meta), task, cache=own, co2_tracker=False, show_progress_bar=False, public_only=False
    )
    record = official(task.metadata.name, result.task_results[0].scores)
    records.write(record, tmp_path / "results")
    export(tmp_path / "results", tmp_path / "out")
    kept = own.load_task_result(task.metadata.name, meta)
    exported = mteb.ResultCache(cache_path=tmp_path / "out").load_task_result(task.metadata.name, meta)
    assert exported.get_score() == pytest.approx(kept.get_score(), abs=1e-6)  # mteb keeps six digits
    (found,), (expected,) = exported.scores["test"], kept.scores["test"]
    assert found.keys() == expected.keys() - {"scores_per_experiment"}
    for name, value in found.items():
        assert value == (pytest.approx(expected[name], abs=1e-6) if isinstance(value, float) else expected[name])


def test_other_suites_and_older_records_are_left_out(
    official: Callable[..., Record], new_record: Callable[..., Record], tmp_path: Path
) -> None:
    old = official("STSBenchmark", STS, rows="0" * 64)
    evaluation = dataclasses.replace(old.evaluation, started="2026-05-02T03:04:05+00:00")
    scores = Scores(0.25, {"main_score": 0.25, "cosine_spearman": 0.25})
    new = dataclasses.replace(official("STSBenchmark", STS, rows="1" * 64), scores=scores, evaluation=evaluation)
    for record in (old, new, new_record()):
        records.write(record, tmp_path / "results")
    report = export(tmp_path / "results", tmp_path / "out")
    assert len(report.written) == 1
    assert json.loads(report.written[0].read_text())["scores"]["test"][0]["main_score"] == 0.25
    assert len(report.left_out) == 2
    assert any("not an official task" in reason for reason in report.left_out)
    assert any("newer record" in reason for reason in report.left_out)


def test_a_hub_model_keeps_its_name(official: Callable[..., Record], tmp_path: Path) -> None:
    records.write(official("STSBenchmark", STS, "mini", source="owner/mini"), tmp_path / "results")
    (path,) = export(tmp_path / "results", tmp_path / "out").written
    assert path.parent.parent.name == "owner__mini"


def test_import_marks_what_it_brings_and_replaces_nothing(official: Callable[..., Record], tmp_path: Path) -> None:
    records.write(official("NusaX-senti", NUSA), tmp_path / "theirs")
    export(tmp_path / "theirs", tmp_path / "out")
    report = import_results(tmp_path / "out", tmp_path / "ours")
    (path,) = report.written
    record = records.read(path)
    assert (record.model.kind, record.model.name) == ("imported", "zoo/full")
    assert record.model.parts["mteb"] == "zoo/full"
    assert record.scores.main == pytest.approx(0.5)
    expected: Any = NUSA
    assert record.scores.all == flatten(expected)
    assert record.scores.interval is None
    assert "interval" in record.scores.absent
    assert record.task.check is not None
    assert record.task.check.status == "unchecked"
    assert (record.task.split, record.task.subset) == ("test+validation", "ace+eng")
    before = path.read_bytes()
    again = import_results(tmp_path / "out" / "results", tmp_path / "ours")
    assert again.written == ()
    assert "is there already" in again.left_out[0]
    assert path.read_bytes() == before
    assert export(tmp_path / "ours", tmp_path / "out2").written[0].read_text() != ""
    loaded = mteb.ResultCache(cache_path=tmp_path / "out2").load_task_result("NusaX-senti", model_meta_of(record.model))
    assert loaded.get_score() == pytest.approx(0.5)


def test_our_own_exports_do_not_come_back(official: Callable[..., Record], tmp_path: Path) -> None:
    records.write(official("STSBenchmark", STS), tmp_path / "results")
    export(tmp_path / "results", tmp_path / "out")
    report = import_results(tmp_path / "out", tmp_path / "results")
    assert report.written == ()
    assert "exported from these records" in report.left_out[0]


def test_files_that_are_no_results_are_named_and_stop_nothing(official: Callable[..., Record], tmp_path: Path) -> None:
    records.write(official("STSBenchmark", STS), tmp_path / "theirs")
    (path,) = export(tmp_path / "theirs", tmp_path / "out").written
    path.with_name("Broken.json").write_text("{")
    path.with_name("Unknown.json").write_text(path.read_text().replace("STSBenchmark", "NoSuchTask"))
    report = import_results(tmp_path / "out", tmp_path / "ours")
    assert len(report.written) == 1
    assert [Path(problem.split(": ")[0]).name for problem in report.problems] == ["Broken.json", "Unknown.json"]
    with pytest.raises(FileNotFoundError, match="no such folder"):
        import_results(tmp_path / "nope", tmp_path / "ours")
