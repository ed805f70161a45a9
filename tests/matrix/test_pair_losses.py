"""Losses over pairs, chunks and layer-wise rates through the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

Zoo = Callable[..., int]
Arguments = Callable[[str], list[str]]

MATRYOSHKA = ("--model.loss", "Matryoshka", "--model.loss.dims", "[32, 8]", "--model.loss.weights", "[1, 0.5]")
CHUNKED = (*MATRYOSHKA, "--model.loss.loss.chunk_texts", "3", "--model.loss.loss.false_negative_margin", "0.1")
MIXED = ("--model.loss.temperature", "0.02", "--model.loss.chunk_texts", "5", "--trainer.precision", "bf16-mixed")
LAYERWISE = ("--model.optimizer", "LayerwiseAdamW", "--model.optimizer.layer_decay", "0.5")


@pytest.mark.parametrize("options", [CHUNKED, MIXED, LAYERWISE], ids=["matryoshka", "mixed", "layerwise"])
def test_trains_and_is_scored(options: tuple[str, ...], zoo: Zoo, tiny_arguments: Arguments) -> None:
    arguments = [*tiny_arguments("Contrastive"), *options, "--model.encoder.dropout", "0.1"]
    assert zoo("fit", *arguments, "--trainer.max_steps", "3", "--run_dir", "run") == 0
    assert json.loads(Path("run/provenance.json").read_text())["state"] == "finished"
    assert zoo("test", "--run_dir", "run") == 0
    groups = torch.load("run/checkpoints/last.ckpt", weights_only=True)["optimizer_states"][0]["param_groups"]
    assert len({group["initial_lr"] for group in groups}) == (2 if options == LAYERWISE else 1)


def test_data_without_scores_cannot_be_distilled(
    zoo: Zoo, tiny_arguments: Arguments, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = [*tiny_arguments("Contrastive"), "--model.loss", "Distillation", "--trainer.max_steps", "1"]
    assert zoo("fit", *arguments, "--run_dir", "run") == 1
    assert "take data that has them, or InfoNCE alone" in capfd.readouterr().err.splitlines()[-1]
