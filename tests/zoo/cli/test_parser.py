"""Messages for what the configuration parser really says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Zoo = Callable[..., int]


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--trainer.max_step", "3"], ["--trainer.max_step", "did you mean --trainer.max_steps"]),
        (["--optimizer", "AdamW"], ["unknown option --optimizer", "--model.optimizer"]),
        (["--lr_scheduler", "StepLR"], ["unknown option --lr_scheduler", "--model.schedule"]),
        (["--model.widht", "8"], ["widht", "did you mean", "width"]),
        (["--model.encoder", "DenseEncoder", "--model.encoder.num_layer", "8"], ["num_layer", "num_layers"]),
        (["--model.embedding", "FulEmbedding"], ["no class FulEmbedding", "did you mean FullEmbedding"]),
        (["--model.width", "wide"], ["model.width", "wide"]),
        (["--data.max_length", "x"], ["data.max_length", "x"]),
        (["--config", "missing.yaml"], ["missing.yaml"]),
    ],
)
def test_command_line(arguments: list[str], parts: list[str], zoo: Zoo, capsys: pytest.CaptureFixture[str]) -> None:
    assert zoo("fit", "--model", "MaskedLM", "--data", "PydocCorpus", *arguments) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("zoo: error: ")
    assert all(part in line for part in parts), line
    assert len(line) < 400


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("modle: MaskedLM\n", ["modle", "did you mean model"]),
        ("trainer: {max_stepz: 3}\n", ["max_stepz", "max_steps"]),
        ("model: {class_path: MaskedLM, init_args: {widht: 8}}\n", ["model: unknown key widht: did you mean width"]),
        (
            "model: {class_path: MaskedLM, init_args: {encoder: "
            "{class_path: DenseEncoder, init_args: {num_layer: 8}}}}\n",
            ["model.encoder: unknown key num_layer: did you mean num_layers"],
        ),
        ("model: {class_path: MaskedLM, init_args: {embedding: Full}}\n", ["no class Full", "FullEmbedding"]),
        ("model: {class_path: MaskedLM, init_args: {width: wide}}\n", ["model.width", "wide"]),
        ("trainer: {max_steps: x}\n", ["trainer.max_steps", "Got value: x"]),
        ("model: [\n", ["no valid YAML", "line 2, column 1"]),
    ],
)
def test_file(text: str, parts: list[str], zoo: Zoo, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    assert zoo("fit", "--config", "bad.yaml", "--data", "PydocCorpus") == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("zoo: error: ")
    assert all(part in line for part in parts), line
    assert len(line) < 400


def test_values_that_a_change_of_class_drops_are_named(
    zoo: Zoo, tiny_arguments: Callable[[str], list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "first.yaml").write_text(
        "model: {class_path: MaskedLM, init_args: {optimizer: {class_path: AdamW, init_args: {amsgrad: true}}}}\n"
    )
    arguments = [*tiny_arguments("MaskedLM"), "--model.optimizer", "SGD", "--model.optimizer.lr", "0.1"]
    assert zoo("fit", "--config", "first.yaml", *arguments, "--trainer.max_steps", "1") == 0
    assert "AdamW.amsgrad = True is dropped: SGD replaces AdamW and has no amsgrad" in capsys.readouterr().err


def test_defaults_of_a_replaced_class_do_not_stay(
    zoo: Zoo, tiny_arguments: Callable[[str], list[str]], tmp_path: Path
) -> None:
    import yaml

    arguments = [*tiny_arguments("MaskedLM"), "--model.optimizer", "SGD", "--trainer.max_steps", "1"]
    assert zoo("fit", *arguments, "--run_dir", "run") == 0
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert config["model"]["init_args"]["optimizer"]["init_args"]["weight_decay"] == 0, "AdamW's default"
    assert config["data"]["init_args"]["tokenizer"]["init_args"]["vocab_size"] is None, "ByteLevelBPE's default"
