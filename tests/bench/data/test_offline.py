from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import mteb
import pyarrow as pa
import pytest
from datasets import Dataset, DatasetDict

from bench.data.offline import hub_only, refuse_lost, refuse_offline, refuse_shadow, revision_of

DATA = os.environ.get("ZOO_TEST_DATA")


@pytest.mark.parametrize("library", ["datasets", "huggingface_hub"])
def test_offline_mode_is_refused_and_the_fix_named(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", library == "datasets")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", library == "huggingface_hub")
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValueError, match=r"configuration of datasets.*--bundle FILE") as caught:
        refuse_offline()
    assert "\n" not in str(caught.value)
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    with pytest.raises(ValueError, match=r"\(HF_DATASETS_OFFLINE\).*unset it"):
        refuse_offline()


def test_offline_mode_that_is_off_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    refuse_offline()


def test_a_folder_that_wins_over_the_hub_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    refuse_shadow("mteb/scifact")
    (tmp_path / "mteb" / "scifact").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"mteb/scifact would be loaded instead of mteb/scifact from the hub; rename"):
        refuse_shadow("mteb/scifact")
    refuse_shadow(str(tmp_path))


def test_the_log_of_datasets_is_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    logger = logging.getLogger("datasets.load")
    before = (logger.level, list(logger.handlers))
    with hub_only("mteb/scifact"):
        assert (logger.level, list(logger.handlers)) != before
    assert (logger.level, list(logger.handlers)) == before


def reranking(top_ranked: Any) -> Any:
    task = mteb.get_task("AskUbuntuDupQuestions")
    table = Dataset.from_dict({"id": ["1"], "text": ["a"]})
    split = {"corpus": table, "queries": table, "relevant_docs": {"1": {"1": 1}}, "top_ranked": top_ranked}
    task.dataset, task.data_loaded = {"default": {"test": split}}, True
    return task


def test_reranking_without_its_candidates_is_refused() -> None:
    refuse_lost(reranking({"1": ["1"]}))
    empty: dict[str, list[str]] = {}
    for lost in (None, empty):
        with pytest.raises(ValueError, match=r"AskUbuntuDupQuestions: .*default/test.*whole corpus would be ranked"):
            refuse_lost(reranking(lost))


def test_another_revision_is_refused(tmp_path: Path) -> None:
    task = mteb.get_task("STSBenchmark")
    wanted = task.metadata.dataset["revision"]
    for revision in (wanted, "0" * 40):
        path = tmp_path / "mteb___stsbenchmark-sts" / "default" / "0.0.0" / revision / "test.arrow"
        path.parent.mkdir(parents=True)
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, pa.schema([("a", pa.int64())])) as writer:
            writer.write_table(pa.table({"a": [1]}))
        table = Dataset.from_file(str(path))
        assert revision_of(table) == revision
        task.dataset = DatasetDict({"test": table})
        if revision == wanted:
            refuse_lost(task)
    with pytest.raises(ValueError, match=f"STSBenchmark: test is revision 000000000000, not {wanted[:12]}"):
        refuse_lost(task)
    assert revision_of(Dataset.from_dict({"a": [1]})) is None


CARD = """---
configs:
{configs}---
"""
LOAD = """
import sys
import mteb
from bench.data.loading import load

for how in sys.argv[2:]:
    task = mteb.get_task("SciFact", eval_splits=["test"])
    dataset = {"path": "own/ranking", "revision": sys.argv[1]}
    task.metadata = task.metadata.model_copy(update={"dataset": dataset})
    try:
        task.load_data() if how == "plain" else load(task)
        print(how, task.dataset["default"]["test"]["top_ranked"])
    except Exception as error:
        print(how, type(error).__name__, error)
"""


def ranking_data(root: Path) -> None:
    """A data set of the hub with candidates, as mteb wants it."""
    tables = {
        "default": {"query-id": ["q"], "corpus-id": ["a"], "score": [1]},
        "corpus": {"_id": ["a", "b"], "title": ["", ""], "text": ["x", "y"]},
        "queries": {"_id": ["q"], "text": ["x"]},
        "top_ranked": {"query-id": ["q"], "corpus-ids": [["a", "b"]]},
    }
    folder = root / "own" / "ranking"
    for name, columns in tables.items():
        (folder / name).mkdir(parents=True)
        Dataset.from_dict(columns).to_parquet(str(folder / name / "test.parquet"))
    entries = (
        f"- config_name: {name}\n  data_files:\n  - split: test\n    path: {name}/test.parquet\n" for name in tables
    )
    (folder / "README.md").write_text(CARD.format(configs="".join(entries)))


@pytest.mark.slow
@pytest.mark.skipif(DATA is None, reason="ZOO_TEST_DATA is not set: there is no stand-in for the hub")
def test_the_traps_are_real_and_refused(tmp_path: Path) -> None:
    assert DATA is not None
    ranking_data(tmp_path / "root")
    mirror = str(Path(DATA).parent / "tools" / "run-with-mirror")
    cache = str(tmp_path / "cache")
    source = str(Path(__file__).parents[3])
    environment = {**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1", "ZOO_CACHE": str(tmp_path / "zoo")}
    served = [mirror, "--root", str(tmp_path / "root"), "--cache", cache, "--"]
    revision, other = "a" * 40, "b" * 40

    def run(how: str, revision: str, before: list[str], **variables: str) -> list[str]:
        command = [*before, sys.executable, "-c", LOAD, revision, *how.split()]
        settings = {**environment, **variables}
        done = subprocess.run(command, env=settings, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout.splitlines()

    candidates = "{'q': ['a', 'b']}"
    assert run("plain ours", revision, served) == [f"plain {candidates}", f"ours {candidates}"]
    plain, ours = run("plain ours", other, [], HF_HOME=cache, HF_HUB_OFFLINE="1")
    assert plain == "plain None"  # another revision, and no candidates
    assert ours.startswith("ours ValueError offline mode is on (HF_HUB_OFFLINE)")
    (unplugged,) = run("ours", other, [], HF_HOME=cache, HF_ENDPOINT="http://127.0.0.1:9")
    assert unplugged.startswith("ours ConnectionError")
