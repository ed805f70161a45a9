from __future__ import annotations

import json
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mteb
import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from bench.data.bundle import MANIFEST, Bundle, checksum, dataset_name
from bench.data.packing import PackReport, pack
from bench.data.rows import hash_dataset, hash_rows

PAIRS = Features({"sentence1": Value("string"), "sentence2": Value("large_string"), "score": Value("float64")})
TEXTS = Features({"text": Value("string"), "label": ClassLabel(names=["no", "yes"])})


class Prepared:
    """A task of the runner, with its data at hand."""

    def __init__(self, task: Any = None, datasets: dict[str, Callable[[], Dataset]] | None = None) -> None:
        self.info = SimpleNamespace(name="unnamed" if task is None else task.metadata.name)
        self.calls: list[str] = []
        if task is not None:
            self.task = task
        if datasets is not None:
            self.datasets = datasets

    def prepare(self) -> None:
        self.calls.append("prepare")

    def release(self) -> None:
        self.calls.append("release")


def sts() -> Any:
    task = mteb.get_task("STSBenchmark")
    rows = {"sentence1": ["a", "b"], "sentence2": ["c", None], "score": [1.0, 0.5]}
    task.dataset = DatasetDict({"test": Dataset.from_dict(rows, PAIRS), "train": Dataset.from_dict(rows, PAIRS)})
    task.data_loaded = True
    return task


def retrieval() -> Any:
    task = mteb.get_task("SciFact")
    corpus = Dataset.from_dict({"id": ["d1", "d2"], "title": ["", "t"], "text": ["a", "b"]})
    queries = Dataset.from_dict({"id": ["q1"], "text": ["é"]})
    split = {"corpus": corpus, "queries": queries, "relevant_docs": {"q1": {"d1": 1}}, "top_ranked": None}
    task.dataset, task.data_loaded = {"default": {"test": split}}, True
    return task


def classification(*subsets: str) -> Any:
    task = mteb.get_task("NusaX-senti", hf_subsets=list(subsets))
    splits = {
        subset: DatasetDict(
            {
                split: Dataset.from_dict({"text": [f"{subset} {split} {i}" for i in "abc"], "label": [0, 1, 1]}, TEXTS)
                for split in ("test", "train")
            }
        )
        for subset in subsets
    }
    task.dataset, task.data_loaded = splits, True
    return task


def packed(out: Path, *tasks: Any) -> PackReport:
    prepared: list[Any] = [task if isinstance(task, Prepared) else Prepared(task) for task in tasks]
    return pack(prepared, out)


def reopened(path: Path) -> Bundle:
    return Bundle.open(path, path.parent / "cache")


def same_data(found: Any, expected: Any) -> None:
    assert type(found) is type(expected)
    if isinstance(expected, Dataset):
        assert found.features == expected.features
        assert found[:] == expected[:]
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            same_data(found[name], value)
    else:
        assert found == expected


def test_each_shape_comes_back_as_it_was(tmp_path: Path) -> None:
    tasks = [sts(), retrieval(), classification("ace", "eng")]
    report = packed(tmp_path / "b.zip", *tasks)
    assert report.tasks == ("STSBenchmark", "SciFact", "NusaX-senti")
    assert report.bytes == (tmp_path / "b.zip").stat().st_size
    bundle = reopened(tmp_path / "b.zip")
    for task in tasks:
        fresh = mteb.get_task(task.metadata.name, hf_subsets=task.hf_subsets)
        bundle.load(fresh)
        assert fresh.data_loaded
        assert hash_rows(fresh) == hash_rows(task)
        expected = task.dataset
        if task.metadata.name == "STSBenchmark":
            expected = DatasetDict({"test": expected["test"]})  # what is not scored stays at home
        same_data(fresh.dataset, expected)


def test_a_subset_can_be_taken_alone_and_no_subset_more(tmp_path: Path) -> None:
    packed(tmp_path / "b.zip", classification("ace", "eng"))
    bundle = reopened(tmp_path / "b.zip")
    one = mteb.get_task("NusaX-senti", hf_subsets=["eng"])
    bundle.load(one)
    assert list(one.dataset) == ["eng"]
    assert hash_rows(one) == hash_rows(classification("eng"))
    with pytest.raises(ValueError, match=r"NusaX-senti has test of ace, eng, but test of ban is scored"):
        bundle.load(mteb.get_task("NusaX-senti", hf_subsets=["ban"]))


def test_the_state_after_loading_comes_back(tmp_path: Path) -> None:
    task = sts()
    task.rng_state.random(), task.np_rng.random()
    task.max_fraction_of_documents_to_embed = None
    packed(tmp_path / "b.zip", task)
    fresh = mteb.get_task("STSBenchmark")
    fresh.max_fraction_of_documents_to_embed = 0.1
    reopened(tmp_path / "b.zip").load(fresh)
    assert fresh.max_fraction_of_documents_to_embed is None
    assert fresh.rng_state.random() == task.rng_state.random() != random.Random(42).random()
    assert fresh.np_rng.random() == task.np_rng.random() != np.random.default_rng(42).random()


def test_equal_rows_are_stored_once_and_other_subsets_of_a_task_beside(tmp_path: Path) -> None:
    packed(tmp_path / "b.zip", classification("ace", "eng"), classification("eng"), classification("ban"))
    bundle = reopened(tmp_path / "b.zip")
    assert len(bundle.manifest["members"]) == 6
    assert bundle.tasks == ("NusaX-senti",)
    for subset in ("ace", "eng", "ban"):
        task = mteb.get_task("NusaX-senti", hf_subsets=[subset])
        bundle.load(task)
        assert hash_rows(task) == hash_rows(classification(subset))


def test_tables_of_no_task_and_tasks_without_data(tmp_path: Path) -> None:
    table = Dataset.from_dict({"text": ["x"]})
    name = dataset_name("nyu-mll/glue", "cola", "train", "0" * 40)
    tasks: list[Any] = [Prepared(datasets={name: lambda: table}), Prepared()]
    report = pack(tasks, tmp_path / "b.zip")
    assert (report.tasks, report.datasets, report.left_out) == ((), (name,), ("unnamed",))
    assert [task.calls for task in tasks] == [["prepare", "release"]] * 2
    bundle = reopened(tmp_path / "b.zip")
    assert hash_dataset(bundle.dataset(name)) == hash_dataset(table)
    with pytest.raises(ValueError, match=r"other is not in this bundle; it has nyu-mll/glue@000000000000/cola/train"):
        bundle.dataset("other")


def test_what_is_not_there_is_refused_and_what_is_there_named(tmp_path: Path) -> None:
    packed(tmp_path / "b.zip", sts(), retrieval())
    bundle = reopened(tmp_path / "b.zip")
    with pytest.raises(ValueError, match="SICK-R is not in this bundle; it has STSBenchmark, SciFact"):
        bundle.load(mteb.get_task("SICK-R"))
    moved = mteb.get_task("STSBenchmark")
    moved.metadata = moved.metadata.model_copy(update={"dataset": {**moved.metadata.dataset, "revision": "f" * 40}})
    with pytest.raises(ValueError, match=r"is of revision b0fddb56.* but ffff"):
        bundle.load(moved)
    with pytest.raises(ValueError, match=r"STSBenchmark has test of default, but validation of default is scored"):
        bundle.load(mteb.get_task("STSBenchmark", eval_splits=["validation"]))


def changed(path: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """The bundle with its members changed, as a valid archive."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    other = path.with_name("changed.zip")
    with zipfile.ZipFile(other, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return other


def corpus_of(members: dict[str, bytes]) -> str:
    return next(name for name in members if "corpus" in name)


def test_a_cut_off_file_and_other_files_are_refused(tmp_path: Path) -> None:
    packed(tmp_path / "b.zip", retrieval())
    content = (tmp_path / "b.zip").read_bytes()
    for cut in (content[:-1], content[: len(content) // 2], b"", b"text"):
        (tmp_path / "cut.zip").write_bytes(cut)
        with pytest.raises(ValueError, match=r"cut\.zip: not a bundle, or cut off"):
            reopened(tmp_path / "cut.zip")
    with pytest.raises(FileNotFoundError):
        reopened(tmp_path / "absent.zip")


def test_an_edited_member_is_refused_by_its_name(tmp_path: Path) -> None:
    packed(tmp_path / "b.zip", retrieval())

    def edit(members: dict[str, bytes]) -> None:
        name = next(name for name in members if "relevant_docs" in name)
        members[name] = members[name].replace(b"d1", b"d2")

    bundle = reopened(changed(tmp_path / "b.zip", edit))
    with pytest.raises(ValueError, match=r"SciFact/default/test/relevant_docs-\w+\.json was edited or damaged"):
        bundle.load(mteb.get_task("SciFact"))


@pytest.mark.parametrize("place", [0.2, 0.5, 0.9])
def test_a_flipped_byte_is_refused(tmp_path: Path, place: float) -> None:
    packed(tmp_path / "b.zip", retrieval())
    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        info = archive.getinfo(corpus_of(dict.fromkeys(archive.namelist(), b"")))
    content = bytearray((tmp_path / "b.zip").read_bytes())
    content[info.header_offset + 30 + len(info.filename) + int(place * info.file_size)] ^= 1
    (tmp_path / "b.zip").write_bytes(content)
    with pytest.raises(ValueError, match=r"corpus-\w+\.parquet (is damaged|was edited)"):
        reopened(tmp_path / "b.zip").load(mteb.get_task("SciFact"))


def test_a_missing_or_longer_member_is_refused_when_opened(tmp_path: Path) -> None:
    packed(tmp_path / "b.zip", retrieval())

    def drop(members: dict[str, bytes]) -> None:
        del members[corpus_of(members)]

    with pytest.raises(ValueError, match=r"corpus-\w+\.parquet is missing"):
        reopened(changed(tmp_path / "b.zip", drop))

    def lengthen(members: dict[str, bytes]) -> None:
        members[corpus_of(members)] += b"x"

    with pytest.raises(ValueError, match=r"corpus-\w+\.parquet has another size"):
        reopened(changed(tmp_path / "b.zip", lengthen))


def test_an_edited_manifest_is_refused(tmp_path: Path) -> None:
    packed(tmp_path / "b.zip", retrieval())

    def edit(members: dict[str, bytes]) -> None:
        members[MANIFEST] = members[MANIFEST].replace(b'"test"', b'"dev"')

    with pytest.raises(ValueError, match=r"manifest\.json was edited"):
        reopened(changed(tmp_path / "b.zip", edit))


def test_rows_that_are_not_those_of_the_manifest_are_refused(tmp_path: Path) -> None:
    packed(tmp_path / "b.zip", retrieval())

    def forge(members: dict[str, bytes]) -> None:
        manifest = json.loads(members[MANIFEST])
        manifest["tasks"][0]["parts"][0]["rows"] = "0" * 64
        del manifest["checksum"]
        members[MANIFEST] = json.dumps({**manifest, "checksum": checksum(manifest)}).encode()

    with pytest.raises(ValueError, match=r"the rows of SciFact/.* are not those that were packed"):
        reopened(changed(tmp_path / "b.zip", forge)).load(mteb.get_task("SciFact"))


def test_a_failure_leaves_nothing_behind_and_names_the_task(tmp_path: Path) -> None:
    broken = sts()
    broken.dataset = DatasetDict({"train": broken.dataset["train"]})
    prepared: Any = Prepared(broken)
    whole: Any = Prepared(retrieval())
    with pytest.raises(ValueError, match=r"STSBenchmark cannot be packed: .*test is not in the loaded data"):
        pack([whole, prepared], tmp_path / "b.zip")
    assert list(tmp_path.iterdir()) == []
    assert prepared.calls == ["prepare", "release"]


def test_keys_that_json_would_change_are_refused(tmp_path: Path) -> None:
    task = retrieval()
    task.dataset["default"]["test"]["relevant_docs"] = {1: {"d1": 1}}
    with pytest.raises(ValueError, match=r"SciFact cannot be packed: .*keys that are no text"):
        packed(tmp_path / "b.zip", task)


def test_an_existing_bundle_is_replaced_only_by_a_whole_one(tmp_path: Path) -> None:
    out = tmp_path / "b.zip"
    packed(out, sts())
    before = out.read_bytes()
    broken = sts()
    broken.dataset = DatasetDict({})
    with pytest.raises(ValueError, match="cannot be packed"):
        packed(out, broken)
    assert out.read_bytes() == before
