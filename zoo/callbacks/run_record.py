"""Keeps a run's provenance up to date and puts it into every checkpoint."""

from __future__ import annotations

import sys
import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from zoo.callbacks.throughput import Throughput
from zoo.objectives.objective import Objective
from zoo.provenance import environment
from zoo.run_folder import TOKENIZER, RunFolder, now


class RunRecord(Callback):
    """Writes `config.yaml`, `tokenizer.json` and `provenance.json` at the start, and the latter again at the end.

    Args:
        folder: of the run.
        config: the resolved configuration.
        facts: what is known before training: seed, configuration hash, command line.
    """

    def __init__(self, folder: RunFolder, config: dict[str, Any], facts: dict[str, Any]) -> None:
        self.folder, self.config = folder, config
        self.facts = facts | {"started": now()}
        self._start = time.perf_counter()
        self._seconds_before = 0.0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Note where the run takes place."""
        self._start = time.perf_counter()
        self.facts |= {"device": str(trainer.strategy.root_device), "processes": trainer.world_size}
        self.facts["precision"] = str(trainer.precision)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the first state; data and tokenizer are known now."""
        assert isinstance(pl_module, Objective)
        data: Any = getattr(trainer, "datamodule", None)
        self.facts["data"] = type(data).__name__
        self.facts["data_description"] = data.description
        self.facts["embedding"] = {**pl_module.embedding.facts, **_codes(self.config)}
        self.facts["adapted_from"] = pl_module.adapted_from
        pl_module.run_facts = self._current(trainer, pl_module, "running")
        if trainer.is_global_zero:
            sys.stderr.write(f"zoo: run folder {self.folder.path}\n")
            _tell(pl_module, resumed=trainer.ckpt_path is not None)
            pl_module.tokenizer.save(str(self.folder.path / TOKENIZER))
            self.folder.write_config(self.config)
            self.folder.write_provenance(pl_module.run_facts)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Put the present state into the checkpoint."""
        assert isinstance(pl_module, Objective)
        # the objective writes its facts after this, where it is called second
        pl_module.run_facts = {**self._current(trainer, pl_module, "running"), "config": self.config}
        if "zoo" in checkpoint:
            checkpoint["zoo"]["run"] = pl_module.run_facts

    def state_dict(self) -> dict[str, Any]:
        """Seconds trained so far, for a resumed run."""
        return {"seconds": self._seconds()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting."""
        self._seconds_before = state_dict["seconds"]

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the last state, also where a resumed run had no step left."""
        self._finish(trainer, pl_module, "interrupted" if trainer.interrupted else "finished")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Write why the run ended."""
        interrupted = isinstance(exception, KeyboardInterrupt)
        self._finish(trainer, pl_module, "interrupted" if interrupted else f"failed: {exception}")

    def _finish(self, trainer: Trainer, pl_module: LightningModule, state: str) -> None:
        assert isinstance(pl_module, Objective)
        if trainer.is_global_zero:
            best = getattr(trainer.checkpoint_callback, "best_model_score", None)
            score = None if best is None else float(best)
            self.folder.write_provenance(self._current(trainer, pl_module, state) | {"best_validation_loss": score})

    def _seconds(self) -> float:
        return self._seconds_before + time.perf_counter() - self._start

    def _current(self, trainer: Trainer, pl_module: Objective, state: str) -> dict[str, Any]:
        progress = {"state": state, "steps": trainer.global_step, "tokens_seen": pl_module.tokens_seen}
        times = {"seconds": round(self._seconds(), 1), "tokens_per_second": _rate(trainer)}
        return {**environment(), **self.facts, **progress, **times}


def _rate(trainer: Trainer) -> float | None:
    """Median tokens a second since this process began to train."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, Throughput) and callback.median_rate is not None:
            return round(callback.median_rate, 1)
    return None


def _codes(config: dict[str, Any]) -> dict[str, str]:
    """Name of the class that assigned the codes of the embedding, where it has codes."""
    embedding = config["model"]["init_args"].get("embedding") or {}
    codes = (embedding.get("init_args") or {}).get("codes")
    return {"codes": codes["class_path"].rpartition(".")[2]} if codes else {}


def _tell(objective: Objective, resumed: bool) -> None:
    """Print the size of the embedding, and what came from another model when training began."""
    sizes = ", ".join(f"{name.replace('_', ' ')} {size:,}" for name, size in objective.embedding.facts.items())
    sys.stderr.write(f"zoo: {type(objective.embedding).__name__}: {sizes}\n")
    start = objective.adapted_from
    if start is not None and not resumed:
        sys.stderr.write(f"zoo: from {start['path']}: {', '.join(start['taken'])}\n")
        sys.stderr.write(f"zoo: new: {', '.join(start['new']) or 'nothing'}\n")
