from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_the_run_with_one_line(
    value: float,
    zoo: Callable[..., int],
    tiny_arguments: Callable[[str], list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from zoo.objectives.objective import Objective

    total_loss = Objective.total_loss

    def broken(self: Objective, task_loss: torch.Tensor, output: object) -> torch.Tensor:
        loss = total_loss(self, task_loss, output)  # type: ignore[arg-type]
        return loss * value if self.trainer.global_step == 2 else loss

    monkeypatch.setattr(Objective, "total_loss", broken)
    assert zoo("fit", *tiny_arguments("CausalLM"), "--trainer.max_steps", "4", "--run_dir", "run") == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("zoo: error")]
    assert len(lines) == 1
    assert f"the loss is {value} at step 2 (learning rate" in lines[0]
    assert "lower model.optimizer.lr" in lines[0]
    assert json.loads(Path("run/provenance.json").read_text())["state"].startswith("failed: the loss is")
