"""Text from a model through the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from zoo import checkpoint
from zoo.generate import generate
from zoo.heads import SoftmaxHead
from zoo.objectives import CausalLM

Zoo = Callable[..., int]
WORD = "ba"  # of the tiny corpus
Arguments = Callable[[str], list[str]]


@pytest.fixture
def run(zoo: Zoo, tiny_arguments: Arguments) -> str:
    assert zoo("fit", *tiny_arguments("CausalLM"), "--trainer.max_steps", "3", "--run_dir", "run") == 0
    return "run"


def test_the_same_seed_writes_the_same(run: str, zoo: Zoo, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    texts = []
    for seed in ("1", "1", "2"):
        assert zoo("generate", run, "--prompt", WORD, "--tokens", "40", "--seed", seed) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] != texts[2]
    assert texts[0].startswith(WORD)


def test_draws_what_the_head_finds_likely(run: str) -> None:
    objective = checkpoint.load(run)
    assert isinstance(objective, CausalLM)
    assert isinstance(objective.head, SoftmaxHead)
    assert objective.head.bias is not None
    token = objective.tokenizer.encode(WORD).ids[1]
    bias = torch.full((objective.vocabulary.size,), -50.0)
    bias[token] = 50.0
    with torch.no_grad():
        objective.head.bias.copy_(bias)
    expected = objective.tokenizer.decode([token] * 5)
    assert generate(objective, tokens=5) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tokens", "0"], "draw at least one"),
        (["--temperature", "0"], "at a temperature above 0"),
        (["--device", "cuda"], "is not available here"),
    ],
)
def test_errors(options: list[str], message: str, run: str, zoo: Zoo, capsys: pytest.CaptureFixture[str]) -> None:
    assert zoo("generate", run, *options) == 1
    assert message in capsys.readouterr().err


def test_a_masked_model_does_not_write(zoo: Zoo, tiny_arguments: Arguments, capsys: pytest.CaptureFixture[str]) -> None:
    assert zoo("fit", *tiny_arguments("MaskedLM"), "--trainer.max_steps", "2", "--run_dir", "masked") == 0
    assert zoo("generate", "masked") == 1
    assert "only CausalLM writes text" in capsys.readouterr().err
    assert Path("masked").is_dir()
