from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from datasets import Dataset

from bench.glue import data
from bench.glue.specs import PATH, REVISION, SPECS
from bench.protocols import NotApplicableError

MNLI = [SPECS["MNLI-m"], SPECS["MNLI-mm"]]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], Dataset]:
    """What the hub has, by config and split; to be filled."""
    tables: dict[tuple[str, str], Dataset] = {}

    def load_dataset(path: str, config: str, *, split: str, revision: str, bundle: Any = None) -> Dataset:
        assert (path, revision) == (PATH, REVISION)
        if config not in {name for name, _ in tables}:
            raise ValueError(f"BuilderConfig '{config}' not found. Available: []")
        if (config, split) not in tables:
            raise ValueError(f'Unknown split "{split}". Should be one of [].')
        return tables[config, split]

    monkeypatch.setattr(data, "load_dataset", load_dataset)
    return tables


def test_rows_of_a_regression(hub: dict[tuple[str, str], Dataset], make_table: Callable[..., Dataset]) -> None:
    spec = SPECS["STS-B"]
    hub["stsb", "train"] = make_table(9, 0, spec.columns, regression=True)
    hub["stsb", "validation"] = make_table(4, 1, spec.columns, regression=True)
    loaded = data.load(spec, [spec])
    assert loaded.train.labels.dtype == np.float64
    assert len(loaded.train.texts[0]) == 2
    assert loaded.train.ids.tolist() == list(range(9))
    assert loaded.missing == (("stsb", "test"),)
    assert data.check(spec, loaded).status == "deviates"
    assert "train has 9 rows, not 5749" in data.check(spec, loaded).note
    assert data.check(spec, loaded).note.count("rows") == 2, "a split that is not there does not deviate"


def test_official_counts_pass(hub: dict[tuple[str, str], Dataset], make_table: Callable[..., Dataset]) -> None:
    spec = SPECS["WNLI"]
    for split, size in spec.sizes.items():
        hub["wnli", split] = make_table(size, 0, spec.columns, test=split == "test")
    loaded = data.load(spec, [spec])
    assert data.check(spec, loaded).status == "unchecked"
    assert loaded.missing == ()


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_split_that_is_needed_and_absent(
    split: str, hub: dict[tuple[str, str], Dataset], make_table: Callable[..., Dataset]
) -> None:
    other = {"train": "validation", "validation": "train"}[split]
    hub["cola", other] = make_table(3)
    with pytest.raises(NotApplicableError, match=f"cola has no split {split}"):
        data.load(SPECS["CoLA"], [SPECS["CoLA"]])


def test_both_sides_of_mnli_and_the_diagnostic_set(
    hub: dict[tuple[str, str], Dataset], make_table: Callable[..., Dataset]
) -> None:
    columns = MNLI[0].columns
    for part in data.parts(MNLI):
        hub[part] = make_table(5, 0, columns)
    loaded = data.load(MNLI[0], MNLI)
    assert set(loaded.scored) == {"validation_matched", "validation_mismatched"}
    assert set(loaded.tests) == {("mnli", "test_matched"), ("ax", "test"), ("mnli", "test_mismatched")}
    del hub["mnli", "validation_mismatched"], hub["ax", "test"]
    loaded = data.load(MNLI[0], MNLI)
    assert set(loaded.scored) == {"validation_matched"}
    assert loaded.missing == (("ax", "test"),)
    with pytest.raises(NotApplicableError, match="validation_mismatched"):
        data.load(MNLI[1], MNLI)


def test_other_errors_are_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Dataset:
        raise ValueError("offline mode ignores revisions")

    monkeypatch.setattr(data, "load_dataset", refuse)
    with pytest.raises(ValueError, match="offline mode"):
        data.load(SPECS["CoLA"], [SPECS["CoLA"]])


def test_names_in_a_bundle() -> None:
    names = list(data.loaders(SPECS["CoLA"]))
    assert names == [f"{PATH}@{REVISION[:12]}/cola/{split}" for split in ("train", "validation", "test")]
