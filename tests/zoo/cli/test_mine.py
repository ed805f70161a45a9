"""Pairs made better by a model, through the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Zoo = Callable[..., int]
Arguments = Callable[[str], list[str]]
STEPS = ["--trainer.max_steps", "2", "--trainer.logger", "false"]
MIXTURE = """
data:
  class_path: PairMixture
  init_args:
    sources:
      - {{path: mined}}
      - {{path: "{pairs}", query_prefix: "topic: "}}
    temperature: 2.0
    tokenizer: WordLevel
    max_length: 16
    batch_pairs: 16
"""


@pytest.fixture
def teacher(zoo: Zoo, tiny_arguments: Arguments) -> str:
    assert zoo("fit", *tiny_arguments("Contrastive"), *STEPS, "--run_dir", "teacher") == 0
    return "teacher"


def test_filter_mine_and_train(
    teacher: str,
    zoo: Zoo,
    tiny_arguments: Arguments,
    corpus_files: dict[str, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    capsys.readouterr()
    options = ["--model", teacher, "--device", "cpu"]
    assert zoo("filter", corpus_files["pairs"], *options, "--top_k", "50", "-o", "filtered") == 0
    line = capsys.readouterr().out
    counts = json.loads(Path("filtered/pairs.json").read_text())["pairs"]["train"]
    assert line == f"filtered: {counts['written']} of {counts['read']} training pairs\n"
    assert zoo("mine", "filtered", *options, "--negatives", "4", "--margin", "1", "--out", "mined") == 0
    assert capsys.readouterr().out.startswith("mined: ")
    settings = json.loads(Path("mined/pairs.json").read_text())["settings"]
    assert settings["teacher"] == "teacher"
    assert len(settings["teacher_revision"]) == 64
    Path("mixture.yaml").write_text("# two sources\n" + MIXTURE.format(pairs=corpus_files["pairs"]))
    words = tiny_arguments("Contrastive")
    own = [*words[: words.index("--data")], *words[words.index("--trainer.accelerator") :]]
    fit = ["fit", "--config", "mixture.yaml", *own, *STEPS, "--run_dir", "run"]
    assert zoo(*fit) == 0
    assert zoo(*fit, "--trainer.max_steps", "4", "--ckpt_path", "last") == 0
    assert zoo("test", "--run_dir", "run") == 0
    mined = ["--data", "PairData", "--data.source", "{path: mined, num_negatives: 3, scores: scores}"]
    mined += ["--data.tokenizer", "WordLevel", "--model.loss", "Distillation"]
    assert zoo("fit", *own, *mined, *STEPS, "--run_dir", "distilled") == 0


def test_errors_are_one_line(
    teacher: str, zoo: Zoo, corpus_files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = corpus_files["pairs"]
    Path("taken").mkdir()
    Path("taken/file").write_text("x")
    capsys.readouterr()
    for arguments, message in [
        (["mine", "absent.jsonl", "--model", teacher, "-o", "out"], "there is no file or folder absent.jsonl"),
        (["mine", pairs, "--model", "absent", "-o", "out"], "--model absent: no such run folder"),
        (["mine", pairs, "--model", "bm25", "-o", "out"], "--model bm25: gives single texts no vectors"),
        (["mine", pairs, "--model", teacher, "--query", "question", "-o", "out"], "has no column 'question'"),
        (["mine", pairs, "--model", teacher, "--negatives", "0", "-o", "out"], "must be at least 1, not 0"),
        (["mine", pairs, "--model", teacher, "--margin", "2", "-o", "out"], "in (0, 1]: 2.0"),
        (["mine", pairs, "--model", teacher, "--negatives", "999", "-o", "out"], "no pair of the train split is left"),
        (["filter", pairs, "--model", teacher, "-o", "taken"], "taken holds something else"),
        (["filter", pairs, "--model", teacher, "-o", "taken/file/out"], "taken/file"),
        (["filter", pairs, "--model", teacher, "--top_k", "0", "-o", "out"], "top_k must be at least 1"),
        (["filter", pairs, "--model", teacher, "--precision", "8", "-o", "out"], "--precision 8: choose one of"),
    ]:
        assert zoo(*arguments) == 1, arguments
        errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("zoo: ")]
        assert len(errors) == 1
        assert message in errors[0]
        assert not Path("out").exists()


def test_help_imports_nothing_heavy() -> None:
    lines = [
        "import atexit, sys",
        "from zoo.cli.main import main",
        "atexit.register(lambda: print(sorted({'torch', 'lightning', 'mteb'} & sys.modules.keys())))",
        "main([sys.argv[1], '--help'])",
    ]
    for command in ("mine", "filter"):
        words = [sys.executable, "-c", "\n".join(lines), command]
        shown = subprocess.run(words, capture_output=True, text=True, check=True)
        assert shown.stdout.splitlines()[-1] == "[]"
        assert "--model" in shown.stdout
