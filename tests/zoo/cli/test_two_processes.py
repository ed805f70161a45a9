"""`zoo fit` in two processes of gloo."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch

# The second process drifts away before the tokens are clustered anew: it must then get the tables of the first.
DRIFT = """
import torch
from lightning.pytorch import Callback

class Drift(Callback):
    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if trainer.global_rank == 1 and trainer.global_step == 1:
            for parameter in module.embedding.parameters():
                parameter.data.add_(torch.randn_like(parameter))

    def on_train_end(self, trainer, module):
        torch.save(module.embedding.state_dict(), f"embedding{trainer.global_rank}.pt")
"""


def test_all_processes_cluster_alike(tiny_arguments: Callable[[str], list[str]], tmp_path: Path) -> None:
    (tmp_path / "drift.py").write_text(DRIFT)
    codes = ("--model.embedding.codes", "ReclusterCodes", "--model.embedding.codes.at", "[0.5]")
    command = [
        *(sys.executable, "-m", "zoo", "fit", *tiny_arguments("CausalLM"), "--seed_everything", "1"),
        *("--model.embedding", "SubspaceEmbedding", "--model.embedding.own_rows", "8", *codes),
        *("--trainer.devices", "2", "--trainer.strategy", "ddp", "--trainer.max_steps", "6"),
        *("--trainer.callbacks", "drift.Drift", "--run_dir", "run"),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads((tmp_path / "run/provenance.json").read_text())["state"] == "finished"
    first, second = (torch.load(tmp_path / f"embedding{rank}.pt", weights_only=True) for rank in (0, 1))
    assert first.keys() == second.keys()
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())


# Everything that the model is made of, as each process has it in the end.
KEEP = """
import torch
from lightning.pytorch import Callback

class Keep(Callback):
    def on_train_end(self, trainer, module):
        torch.save(module.state_dict(), f"model{trainer.global_rank}.pt")
"""


def test_all_processes_step_a_factored_table_alike(tiny_arguments: Callable[[str], list[str]], tmp_path: Path) -> None:
    """Tied, so that both gathered outputs and gradients of looked up rows must agree."""
    (tmp_path / "keep.py").write_text(KEEP)
    command = [
        *(sys.executable, "-m", "zoo", "fit", *tiny_arguments("CausalLM"), "--seed_everything", "1"),
        *("--model.embedding", "TiedEmbedding", "--model.head", "SparseTargetHead", "--model.head.lr", "0.5"),
        *("--trainer.devices", "2", "--trainer.strategy", "ddp", "--trainer.max_steps", "6"),
        *("--trainer.gradient_clip_val", "0.5", "--trainer.callbacks", "keep.Keep", "--run_dir", "run"),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (torch.load(tmp_path / f"model{rank}.pt", weights_only=True) for rank in (0, 1))
    assert first["head.table.steps"] == 6
    different = {name for name, tensor in first.items() if not torch.equal(tensor, second[name])}
    assert not different
