"""`zoo upcycle`: mixtures of experts out of a trained dense model, through the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from zoo import checkpoint
from zoo.contracts import PackedBatch

Zoo = Callable[..., int]
Arguments = Callable[[str], list[str]]
# weights stay as they were when training began
STILL = ("--trainer.max_steps", "2", "--model.optimizer.lr", "0")


@pytest.fixture
def dense(zoo: Zoo, tiny_arguments: Arguments) -> str:
    options = ["--model.encoder.bias", "true", "--model.encoder.feed_forward", "GELU"]
    options += ["--model.encoder.feed_forward.bias", "true", "--model.encoder.num_layers", "2"]
    assert zoo("fit", *tiny_arguments("MaskedLM"), *options, "--trainer.max_steps", "20", "--run_dir", "dense") == 0
    return "dense"


def test_it_begins_as_what_the_dense_model_was(dense: str, zoo: Zoo, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    assert zoo("upcycle", dense, "--experts", "4", "--layers", "all", *STILL, "--run_dir", "moe") == 0
    shown = capfd.readouterr().err
    assert "zoo: new: encoder.router\n" in shown
    facts = json.loads(Path("moe/provenance.json").read_text())["adapted_from"]
    assert facts["path"] == dense
    assert facts["new"] == ["encoder.router"]
    first, second = checkpoint.load(dense).eval(), checkpoint.load("moe").eval()
    assert type(second.encoder).__name__ == "MoEEncoder"
    assert sum(p.numel() for p in second.encoder.parameters()) > 2 * sum(p.numel() for p in first.encoder.parameters())
    batch = PackedBatch.from_sequences([[5, 6, 7], [8, 9, 10, 11, 12]])
    before, after = (model.encode(batch, causal=False).hidden for model in (first, second))
    assert (before - after).abs().max() < 1e-6
    assert zoo("fit", "--run_dir", "moe", "--ckpt_path", "last", "--trainer.max_steps", "3") == 0


def test_errors_are_one_line(dense: str, zoo: Zoo, capsys: pytest.CaptureFixture[str]) -> None:
    assert zoo("upcycle", dense, "--experts", "2", *STILL, "--run_dir", "moe") == 0
    capsys.readouterr()
    for arguments, message in [
        ([], "name the trained model first: zoo upcycle CHECKPOINT --experts 8"),
        ([dense], "say how many experts each mixture gets: zoo upcycle dense --experts 8"),
        ([dense, "--experts", "0"], "num_experts must be at least 1, not 0"),
        ([dense, "--experts", "2", "--top_k", "3"], "top_k must lie between 1 and num_experts (2), not 3"),
        ([dense, "--experts", "2", "--top_k", "1", "--gates", "normalised"], "is always 1"),
        ([dense, "--experts", "2", "--layers", "[5]"], "different numbers from 0 to 1"),
        (["moe", "--experts", "2"], "moe has a MoEEncoder: only a DenseEncoder has blocks"),
        (["absent", "--experts", "2"], "absent does not exist"),
    ]:
        assert zoo("upcycle", *arguments, *([] if not arguments else ["--run_dir", "out"])) == 1, arguments
        errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("zoo: ")]
        assert message in errors[-1]
        assert not Path("out").exists()
