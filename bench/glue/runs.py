"""Finished runs on disk, addressed by all that decides them, so that nothing is trained twice."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.glue.fine_tuning import Run, Setting
from zoo.data.cache import atomic_path, content_key

_FACTS = "facts"


@dataclass(frozen=True)
class RunStore:
    """One file a run.

    Args:
        folder: where the files lie; made when needed.
        inputs: all that decides a run beside its setting, as JSON values: model revision, recipe, rows, ....
    """

    folder: Path
    inputs: Mapping[str, Any]

    def path(self, setting: Setting) -> Path:
        """The file of a run."""
        return self.folder / f"{content_key(json.dumps(self._facts(setting), sort_keys=True))}.npz"

    def save(self, setting: Setting, run: Run) -> None:
        """Write a run, whole or not at all."""
        curve = [value if np.isfinite(value) else None for value in run.curve]
        facts = {
            "inputs": self._facts(setting),
            "curve": curve,
            "epoch": run.epoch,
            "seconds": run.seconds,
            "rows": run.rows,
        }
        arrays: dict[str, Any] = {_FACTS: np.array(json.dumps(facts, sort_keys=True)), **run.logits}
        with atomic_path(self.path(setting)) as partial, partial.open("wb") as file:
            np.savez(file, **arrays)

    def load(self, setting: Setting) -> Run | None:
        """A run that was finished, or None.

        Raises:
            ValueError: if its file is damaged or holds another run.
        """
        path = self.path(setting)
        if not path.exists():
            return None
        try:
            # opened here, because numpy leaves a damaged file open
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                facts = json.loads(str(arrays[_FACTS]))
                logits = {name: arrays[name] for name in arrays.files if name != _FACTS}
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path}: damaged ({error}); delete it, and this run is trained again") from error
        if facts["inputs"] != json.loads(json.dumps(self._facts(setting))):
            raise ValueError(f"{path}: holds another run than its name says; delete it")
        curve = tuple(-np.inf if value is None else value for value in facts["curve"])
        return Run(logits, curve, facts["epoch"], facts["seconds"], facts["rows"])

    def _facts(self, setting: Setting) -> dict[str, Any]:
        return {**self.inputs, "seed": setting.seed, "learning_rate": setting.learning_rate}
