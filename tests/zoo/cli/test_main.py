from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Zoo = Callable[..., int]
HEAVY = {"torch", "lightning", "mteb", "datasets", "transformers", "sentence_transformers", "jsonargparse", "altair"}
PROGRAM = """
import sys
from zoo.cli.main import main
try:
    status = main(sys.argv[1:])
except SystemExit as stop:
    status = stop.code
print("modules", *sorted(set(sys.modules) & {heavy!r}), status)
"""


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["list", "variants"], ["list", "configs"], ["--version"]])
def test_looking_around_imports_nothing_heavy(arguments: list[str]) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(heavy=HEAVY), *arguments], capture_output=True, text=True, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.stdout.splitlines()[-1] == "modules 0"
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["fit", "--config", "nowhere.yaml"], 1, "nowhere.yaml"),
        (["fit", "--model", "MaskdLM"], 1, "did you mean MaskedLM"),
        (["test"], 1, "give --run_dir RUN or --ckpt_path FILE"),
        (["test", "--run_dir", "nowhere"], 1, "nowhere"),
        (["test", "--ckpt_path", "nowhere.ckpt"], 1, "nowhere.ckpt"),
    ],
)
def test_errors_are_one_line(
    arguments: list[str], status: int, message: str, zoo: Zoo, capsys: pytest.CaptureFixture[str]
) -> None:
    assert zoo(*arguments) == status
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if line.startswith("zoo: ")]
    assert len(lines) == 1
    assert lines[0].startswith("zoo: error: ")
    assert message in lines[0]
    assert "Traceback" not in captured.err
    assert not Path("runs").exists()


def test_missing_data_is_one_line(zoo: Zoo, capsys: pytest.CaptureFixture[str]) -> None:
    assert zoo("fit", "--model", "MaskedLM", "--data", "TextCorpus", "--data.source.path", "nowhere.txt") == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("zoo: error: ")]
    assert len(errors) == 1
    assert "nowhere.txt" in errors[0]


def test_what_a_class_refuses_is_said_without_the_union_it_stands_in(
    zoo: Zoo, capsys: pytest.CaptureFixture[str]
) -> None:
    assert zoo("fit", "--model", "Contrastive", "--data", "PairMixture", "--data.sources", "[]") == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("zoo: error: sources is empty: name at least one")


def test_debug_shows_the_traceback(zoo: Zoo) -> None:
    with pytest.raises(ValueError, match="give --run_dir"):
        zoo("test", "--debug")


def test_options_may_stand_before_the_command(
    zoo: Zoo, tiny_arguments: Callable[[str], list[str]], tmp_path: Path
) -> None:
    (tmp_path / "steps.yaml").write_text("# few steps\ntrainer: {max_steps: 2}\n")
    assert zoo("-c", "steps.yaml", "fit", *tiny_arguments("MaskedLM"), "--run_dir", "run") == 0
    assert "max_steps: 2" in Path("run/config.yaml").read_text()


def test_a_second_run_in_the_same_folder_is_refused(
    zoo: Zoo, tiny_arguments: Callable[[str], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    options = [*tiny_arguments("MaskedLM"), "--trainer.max_steps", "1", "--run_dir", "run"]
    assert zoo("fit", *options) == 0
    assert zoo("fit", *options) == 1
    assert "run_dir run already holds a run: add --ckpt_path last" in capsys.readouterr().err


def test_a_checkpoint_of_another_class_is_refused(
    zoo: Zoo, tiny_arguments: Callable[[str], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert zoo("fit", *tiny_arguments("MaskedLM"), "--trainer.max_steps", "1", "--run_dir", "run") == 0
    options = [*tiny_arguments("CausalLM"), "--ckpt_path", "run/checkpoints/last.ckpt"]
    assert zoo("test", *options) == 1
    assert "holds MaskedLM, but the config asks for CausalLM" in capsys.readouterr().err


def test_no_command_is_wrong_usage(zoo: Zoo, capsys: pytest.CaptureFixture[str]) -> None:
    assert zoo() == 2
    assert "zoo quickstart" in capsys.readouterr().out


def test_ctrl_c(zoo: Zoo, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(arguments: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("zoo.cli.main._dispatch", interrupted)
    assert zoo("list") == 130
    assert capsys.readouterr().err.startswith("zoo: interrupted")
