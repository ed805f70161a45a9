from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.glue import submission
from bench.glue.data import Rows
from bench.glue.specs import SPECS

LOGITS = np.array([[2.0, 1.0], [0.0, 1.0], [5.0, -1.0]], dtype=np.float32)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("CoLA", ["0", "1", "0"]),
        ("SST-2", ["0", "1", "0"]),
        ("MRPC", ["0", "1", "0"]),
        ("QQP", ["0", "1", "0"]),
        ("WNLI", ["0", "1", "0"]),
        ("RTE", ["entailment", "not_entailment", "entailment"]),
        ("QNLI", ["entailment", "not_entailment", "entailment"]),
    ],
)
def test_two_classes(name: str, words: list[str], make_rows: Callable[..., Rows], tmp_path: Path) -> None:
    submission.write(tmp_path / "a" / "x.tsv", SPECS[name], make_rows(3, test=True), LOGITS)
    lines = (tmp_path / "a" / "x.tsv").read_text().splitlines()
    assert lines == ["index\tprediction", *(f"{i}\t{word}" for i, word in enumerate(words))]
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["x.tsv"]


def test_three_classes_are_words(make_rows: Callable[..., Rows], tmp_path: Path) -> None:
    submission.write(tmp_path / "x.tsv", SPECS["MNLI-m"], make_rows(3), np.eye(3, dtype=np.float32))
    assert (tmp_path / "x.tsv").read_text() == "index\tprediction\n0\tentailment\n1\tneutral\n2\tcontradiction\n"


def test_scores_are_cut_to_their_range(make_rows: Callable[..., Rows], tmp_path: Path) -> None:
    logits = np.array([[-0.5], [2.34567], [5.5]], dtype=np.float32)
    submission.write(tmp_path / "x.tsv", SPECS["STS-B"], make_rows(3), logits)
    assert (tmp_path / "x.tsv").read_text() == "index\tprediction\n0\t0.000\n1\t2.346\n2\t5.000\n"


def test_rows_are_written_in_the_order_of_their_numbers(make_rows: Callable[..., Rows], tmp_path: Path) -> None:
    rows = replace(make_rows(3), ids=np.array([2, 0, 1]))
    submission.write(tmp_path / "x.tsv", SPECS["CoLA"], rows, LOGITS)
    assert (tmp_path / "x.tsv").read_text() == "index\tprediction\n0\t1\n1\t0\n2\t0\n"


def test_rows_with_other_numbers_are_refused(make_rows: Callable[..., Rows], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not numbered 0 to 2"):
        submission.write(tmp_path / "x.tsv", SPECS["CoLA"], replace(make_rows(3), ids=np.array([1, 2, 3])), LOGITS)
    assert not list(tmp_path.iterdir())


def test_every_file_of_a_submission_has_a_task() -> None:
    files = {file for spec in SPECS.values() for file in spec.tests.values()}
    assert files == {
        *("AX.tsv", "CoLA.tsv", "MNLI-m.tsv", "MNLI-mm.tsv", "MRPC.tsv", "QNLI.tsv", "QQP.tsv", "RTE.tsv"),
        *("SST-2.tsv", "STS-B.tsv", "WNLI.tsv"),
    }
