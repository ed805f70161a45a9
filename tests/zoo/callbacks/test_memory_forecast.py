from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer

from zoo.callbacks.memory_forecast import state_bytes
from zoo.encoders import DenseEncoder
from zoo.objectives import MaskedLM
from zoo.optim import CenteredAdamW, CoupledAdamW, LayerwiseAdamW
from zoo.optim.fused import prefer_fused
from zoo.optim.groups import by_role


@pytest.mark.parametrize(
    "make",
    [
        torch.optim.AdamW,
        torch.optim.SGD,
        lambda groups: torch.optim.SGD(groups, lr=0.1, momentum=0.9),
        torch.optim.RMSprop,
        lambda groups: torch.optim.AdamW(groups, fused=True),
        CoupledAdamW,
        CenteredAdamW,
        LayerwiseAdamW,
    ],
)
def test_state_is_what_a_step_makes(make: Callable[..., Any], tokenizer: Tokenizer) -> None:
    model = MaskedLM(width=32, encoder=partial(DenseEncoder, num_layers=1, num_heads=2))
    model.build(tokenizer, 16)
    optimizer = make(by_role(model))
    prefer_fused(optimizer)
    foretold = state_bytes(optimizer)
    assert not optimizer.state
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    values = [value for state in optimizer.state.values() for value in state.values()]
    assert foretold == sum(value.nbytes for value in values if isinstance(value, torch.Tensor))
    assert state_bytes(optimizer) == foretold


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: reads the memory of a process")
def test_an_upcycled_model_needs_what_was_foretold(tmp_path: Any) -> None:
    """A model of 8 experts, mostly weights, in a process of its own."""
    (tmp_path / "text.txt").write_text(
        "".join(f"word{i % 97} follows word{i % 13} at place {i}\n" for i in range(3000))
    )
    zoo = [sys.executable, "-c", "import sys; from zoo.cli.main import main; sys.argv[0]='zoo'; sys.exit(main())"]
    options = ["--data.tokenizer", "WordLevel", "--data.max_length", "32", "--data.batch_tokens", "512"]
    quiet = ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false", "--trainer.max_steps", "4"]
    sizes = ["--model.width", "512", "--model.encoder", "DenseEncoder", "--model.encoder.num_layers", "2"]
    text = ["--data", "TextCorpus", "--data.source.path", "text.txt", *options]

    def run(*arguments: str) -> str:
        done = subprocess.run([*zoo, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stderr

    run("fit", "--model", "MaskedLM", *sizes, *text, *quiet, "--run_dir", "dense")
    shown = run("upcycle", "dense", "--experts", "8", *quiet, "--run_dir", "moe")
    foretold, peak = (
        float(re.search(pattern, shown)[1].replace(",", ""))  # type: ignore[index]
        for pattern in (r"foretold: ([\d,]+) MB", r"peak: ([\d,]+) MB")
    )
    assert foretold == pytest.approx(peak, rel=0.1)
