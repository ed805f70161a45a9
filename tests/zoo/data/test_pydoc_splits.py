from __future__ import annotations

import os
from pathlib import Path

import pytest

from zoo.data import pydoc_splits
from zoo.data.pydoc_sources import find_sources
from zoo.data.pydoc_splits import SPLITS, load_pydoc


def test_splits_modules_and_forgets_nothing(toy_package: Path, tmp_path: Path) -> None:
    splits = load_pydoc(["toy"], tmp_path / "cache")
    pairs = {split: splits.pairs(split) for split in SPLITS}
    modules = {split: {pair.module for pair in pairs[split]} for split in SPLITS}
    assert sum(len(own) for own in modules.values()) == len(set.union(*modules.values())) == 120
    assert len(modules["train"]) > 90
    assert all(len(modules[split]) >= 2 for split in SPLITS)
    ids = [pair.id for split in SPLITS for pair in pairs[split]]
    assert len(ids) == len(set(ids)) == 360
    assert splits.counts["train"]["pairs"] == len(pairs["train"])
    assert splits.counts["train"]["texts"] == len(splits.texts("train"))


def test_a_pair_is_as_written(toy_package: Path, tmp_path: Path) -> None:
    pairs = {pair.id: pair for split in SPLITS for pair in load_pydoc(["toy"], tmp_path / "cache").pairs(split)}
    pair = pairs["toy.mod_bc:Thingbc.store"]
    assert (pair.package, pair.module, pair.qualified_name) == ("toy", "toy.mod_bc", "Thingbc.store")
    assert pair.summary == pair.docstring == "Keep one more value of kind bc for later."
    assert pair.code.startswith("def store(self, value):\n    self.values_bc")


def test_near_duplicates_leave_the_training_data(toy_package: Path, tmp_path: Path) -> None:
    before = load_pydoc(["toy"], tmp_path / "cache")
    held_out = before.pairs("test")[0]
    copies = [f"copy_{n}" for n in range(20)]
    for name in copies:
        (toy_package / f"{name}.py").write_text((toy_package / f"{held_out.module.split('.')[1]}.py").read_text())
    after = load_pydoc(["toy"], tmp_path / "cache")
    assert after.content_hash != before.content_hash
    assert sum(held_out.code == pair.code for split in SPLITS for pair in after.pairs(split)) == 1
    assert held_out.code not in after.texts("train")
    assert sum(after.counts[split]["pairs"] for split in SPLITS) == 360
    assert after.counts["near_duplicate_codes"] == 3 * len(copies)


def test_same_for_any_number_of_processes_and_order_of_files(
    toy_package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_pydoc(["toy", "tqdm"], tmp_path / "one")
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    monkeypatch.setattr(pydoc_splits, "_CHUNK_BYTES", 5_000)
    walk = Path.rglob
    monkeypatch.setattr(Path, "rglob", lambda self, pattern: reversed(list(walk(self, pattern))))
    second = load_pydoc(["tqdm", "toy", "toy"], tmp_path / "two")
    assert second.content_hash == first.content_hash
    assert [second.texts(split) for split in SPLITS] == [first.texts(split) for split in SPLITS]


def test_is_parsed_once(toy_package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_pydoc(["toy"], tmp_path / "cache")
    monkeypatch.setattr(pydoc_splits, "_parse_chunk", None)
    again = load_pydoc(["toy"], tmp_path / "cache")
    assert again.content_hash == first.content_hash
    assert again.pairs("train") == first.pairs("train")


def test_a_killed_parse_leaves_nothing_half_written(
    toy_package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(pydoc_splits, "_assemble", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            load_pydoc(["toy"], tmp_path / "cache")
    assert len(load_pydoc(["toy"], tmp_path / "cache").pairs("train")) > 200


@pytest.mark.parametrize(
    ("packages", "message"),
    [
        (["scikit-learn"], "imported as 'sklearn'"),
        (["nump"], "nearest installed one is 'numpy'"),
        (["os.path"], "not installed"),
        (["_struct_of_nothing"], "not installed"),
        ([], "packages is empty"),
        (["math"], "no Python source"),
    ],
)
def test_refused_packages(packages: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        load_pydoc(packages, tmp_path)


def test_undocumented_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "__init__.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ValueError, match="nothing in bare is documented: add a package"):
        load_pydoc(["bare"], tmp_path / "cache")


def test_unknown_split(toy_package: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="choose one of train, validation, test"):
        load_pydoc(["toy"], tmp_path).pairs("dev")


def test_single_module_and_standard_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lonely.py").write_text('"""Some words here."""\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    assert [file.module for file in find_sources("lonely")] == ["lonely"]
    modules = {file.module for file in find_sources("stdlib")}
    assert {"argparse", "json", "json.decoder", "xml.dom.minidom"} <= modules
    assert not any("test" in module.split(".") or module.startswith("numpy") for module in modules)
