"""Runs that differ in one choice are compared; those that differ in more are refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Zoo = Callable[..., int]
Arguments = Callable[[str], list[str]]


@pytest.fixture
def scored(zoo: Zoo, tiny_arguments: Arguments) -> None:
    """`results` of a run with a table of its own, two seeds of one with a shared table, and one of another length."""
    runs = {
        "full": ["FullEmbedding", "--seed_everything", "0"],
        "tied": ["TiedEmbedding", "--seed_everything", "0"],
        "tied-1": ["TiedEmbedding", "--seed_everything", "1"],
        "longer": ["TiedEmbedding", "--seed_everything", "0", "--trainer.max_steps", "6"],
    }
    for name, options in runs.items():
        steps = ["--trainer.max_steps", "3", "--model.embedding", *options]
        assert zoo("fit", *tiny_arguments("MaskedLM"), *steps, "--run_dir", name) == 0
    tasks = ["--tasks", "PydocTextMasked", "--packages", "sklearn"]
    assert zoo("bench", "run", "--model", *(f"{name}/checkpoints/last.ckpt" for name in runs), *tasks, "--quiet") == 0


@pytest.mark.usefixtures("scored")
def test_one_choice_is_compared_and_more_are_refused(zoo: Zoo, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    assert zoo("compare", "full", "tied") == 0
    shown = capfd.readouterr().out
    assert "PydocTextMasked" in shown
    assert zoo("compare", "full", "longer") == 2
    refused = capfd.readouterr().err
    assert "trainer.max_steps" in refused
    assert "tokens_seen" in refused
    assert zoo("compare", "--axis", "embedding") == 0
    shown = capfd.readouterr().out
    assert "longer" in shown, "what does not fit is named"
    assert zoo("compare", "--axis", "encoder") == 2
