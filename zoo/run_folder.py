"""One folder a run: where it lies, what is in it, and which one a resumed run continues."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from zoo.provenance import config_hash, environment, write_json

CONFIG, PROVENANCE, TOKENIZER, CHECKPOINTS = "config.yaml", "provenance.json", "tokenizer.json", "checkpoints"

# What may differ between two runs that are the same experiment.
_NOT_EXPERIMENT = ("run_dir", "ckpt_path", "verbose", "weights_only")
_RUN_DIR = "ZOO_RUN_DIR"


def experiment_settings(config: dict[str, Any]) -> dict[str, Any]:
    """A resolved configuration without the keys that say where it runs and from where it resumes."""
    return {key: value for key, value in config.items() if key not in _NOT_EXPERIMENT}


def experiment_hash(config: dict[str, Any]) -> str:
    """Hash of a resolved configuration without the keys that say where it runs and from where it resumes."""
    return config_hash(experiment_settings(config))


def run_name(config: dict[str, Any]) -> str:
    """`Objective-Data-hash`, the same for the same configuration."""
    classes = [config[key]["class_path"].rpartition(".")[2] for key in ("model", "data")]
    return "-".join([*classes, experiment_hash(config)[:8]])


class RunFolder:
    """The folder of a run.

    Args:
        path: the folder; it need not exist.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._created = False

    @classmethod
    def create(cls, config: dict[str, Any], chosen: str | None, root: str = "runs") -> RunFolder:
        """A new folder: `chosen`, or one named after the configuration, numbered where that name is taken.

        Raises:
            ValueError: if `chosen` already holds a run.
        """
        if not is_first_process():
            # other processes write nothing here; the first one told them the name if it started them
            return cls(os.environ.get(_RUN_DIR) or chosen or Path(root) / run_name(config))
        if chosen is not None:
            folder = cls(chosen)
            folder._created = not folder.path.exists()
            if folder.exists:
                raise ValueError(
                    f"run_dir {chosen} already holds a run: add --ckpt_path last to resume it, or choose another folder"
                )
            folder.path.mkdir(parents=True, exist_ok=True)
        else:
            folder = cls(_first_free(Path(root) / run_name(config)))
            folder._created = True
        os.environ[_RUN_DIR] = str(folder.path)
        return folder

    @classmethod
    def find(cls, config: dict[str, Any], chosen: str | None, root: str = "runs") -> RunFolder:
        """The folder to resume: `chosen`, or the newest run of this configuration.

        Raises:
            ValueError: if there is none.
        """
        name = run_name(config)
        candidates = [Path(chosen)] if chosen is not None else [Path(root) / name, *Path(root).glob(f"{name}-*")]
        found = [c for c in candidates if (c / CHECKPOINTS / "last.ckpt").is_file()]
        if not found:
            where = chosen if chosen is not None else f"{root}/{name}"
            raise ValueError(
                f"nothing to resume: {where} has no checkpoints/last.ckpt; "
                "drop --ckpt_path last, or name the run with --run_dir"
            )
        newest = max(found, key=lambda c: (c / CHECKPOINTS / "last.ckpt").stat().st_mtime)
        if is_first_process():
            os.environ[_RUN_DIR] = str(newest)
        return cls(newest)

    @property
    def exists(self) -> bool:
        """Whether a run was started here."""
        return (self.path / CONFIG).is_file()

    @contextmanager
    def discarded_if_unused(self) -> Iterator[None]:
        """Remove the folder again if this process made it and what happens inside fails before a run has started."""
        try:
            yield
        except BaseException:
            if self._created and not self.exists:
                shutil.rmtree(self.path, ignore_errors=True)
            raise

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / CHECKPOINTS

    def checkpoint(self, name: str) -> Path:
        """The checkpoint that `--ckpt_path best|last` names.

        Raises:
            FileNotFoundError: if the run has saved none.
        """
        file = self.checkpoints / f"{name}.ckpt"
        if not file.is_file():
            raise FileNotFoundError(f"{file} does not exist: has the run saved a checkpoint yet?")
        return file

    def write_config(self, config: dict[str, Any]) -> None:
        """Keep the resolved configuration, as a file that `zoo fit --config` takes."""
        partial = self.path / f".{CONFIG}.tmp"
        partial.write_text(yaml.safe_dump(experiment_settings(config), sort_keys=False), encoding="utf-8")
        partial.replace(self.path / CONFIG)

    def read_config(self) -> dict[str, Any]:
        """The configuration the run was started with."""
        content = yaml.safe_load((self.path / CONFIG).read_text(encoding="utf-8"))
        assert isinstance(content, dict)
        return content

    def write_provenance(self, facts: dict[str, Any]) -> None:
        """Keep code, versions, machine and `facts`."""
        write_json(self.path / PROVENANCE, {**environment(), **facts})


def now() -> str:
    """UTC time to the second, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def is_first_process() -> bool:
    """Whether this is the only process of the run, or the one that writes."""
    ranks = ("RANK", "SLURM_PROCID", "LOCAL_RANK", "NODE_RANK")
    return all(os.environ.get(rank, "0") == "0" for rank in ranks)


def _first_free(path: Path) -> Path:
    number = 1
    while True:
        candidate = path if number == 1 else path.with_name(f"{path.name}-{number}")
        try:
            candidate.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return candidate
