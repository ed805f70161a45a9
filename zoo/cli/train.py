"""`zoo fit|validate|test|predict`: LightningCLI with a folder a run, and without its silent traps."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.plugins.io import CheckpointIO

import zoo.callbacks.memory_forecast
import zoo.variants  # noqa: F401  (short class names)
from zoo.callbacks.finite_loss import FiniteLoss
from zoo.callbacks.run_record import RunRecord
from zoo.callbacks.throughput import Throughput
from zoo.cli.arguments import with_run_config
from zoo.cli.parser import ConfigError, ConfigParser
from zoo.cli.replaced import given_keys, restore_defaults
from zoo.objectives.objective import Objective
from zoo.run_folder import RunFolder, experiment_hash
from zoo.streamed_checkpoints import StreamedCheckpoints
from zoo.weights import read

# A run without any bound on its length gets this many steps.
DEFAULT_STEPS = 2000
# Validation during training takes the first batches of the split, always the same ones.
VALIDATION_BATCHES = 50


class TrainingCLI(LightningCLI):
    """The training commands. The run's folder is known before anything is built."""

    run: RunFolder
    resolved: dict[str, Any]

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Commands, and the arguments of the trainer's methods that are not options."""
        fit = {"model", "train_dataloaders", "val_dataloaders", "datamodule", "weights_only"}
        other = {"model", "dataloaders", "datamodule", "weights_only"}
        return {"fit": fit, "validate": other, "test": other, "predict": other | {"return_predictions"}}

    def add_arguments_to_parser(self, parser: Any) -> None:
        """Add the run's folder."""
        parser.add_argument(
            "--run_dir",
            type=str | None,
            default=None,
            help="Folder of the run; by default runs/OBJECTIVE-DATA-HASH of the resolved configuration.",
        )

    def parse_arguments(self, parser: Any, args: Any) -> None:
        """Parse, and take back what the parser left over from replaced defaults."""
        super().parse_arguments(parser, args)
        config = self.config[self.config.subcommand]
        given = given_keys(args)
        for key in ("model", "data"):
            restore_defaults(config[key], key, given)

    def _parse_ckpt_path(self) -> None:
        """Take nothing out of a checkpoint: Lightning looks for hyperparameters, which ours do not have, unguarded."""

    def before_instantiate_classes(self) -> None:
        """Settle how long to train, then where the run lives and what it starts from."""
        config = self.config[str(self.subcommand)]
        if self.subcommand == "fit":
            _settle_length(config.trainer)
        self.resolved = self._resolve()
        if self.subcommand == "fit":
            self._settle_run(config)
        else:
            self._settle_checkpoint(config)

    def _resolve(self) -> dict[str, Any]:
        parser = self._parser(self.subcommand)
        text = parser.dump(self.config[str(self.subcommand)], skip_unset=False, skip_link_targets=False, format="yaml")
        content = yaml.safe_load(text)
        assert isinstance(content, dict)
        return content

    def _settle_run(self, config: Any) -> None:
        if config.ckpt_path is None:
            self.run = RunFolder.create(self.resolved, config.run_dir)
            return
        self.run = (
            RunFolder.find(self.resolved, config.run_dir)
            if config.ckpt_path in ("last", "best")
            else RunFolder.create(self.resolved, config.run_dir)
        )
        if config.ckpt_path in ("last", "best"):
            config.ckpt_path = str(self.run.checkpoint(config.ckpt_path))
            _tell_differences(self.run.read_config(), self.resolved)
        _check_checkpoint(config.ckpt_path, self.resolved)

    def _settle_checkpoint(self, config: Any) -> None:
        if config.ckpt_path is None and config.run_dir is None:
            raise ConfigError(f"zoo {self.subcommand} scores a trained model: give --run_dir RUN or --ckpt_path FILE")
        if config.ckpt_path in (None, "best", "last"):
            if config.run_dir is None:
                raise ConfigError(f"--ckpt_path {config.ckpt_path} needs --run_dir RUN")
            folder = RunFolder(config.run_dir)
            config.ckpt_path = str(folder.checkpoint(config.ckpt_path or "best"))
        self.run = RunFolder(config.run_dir or Path(config.ckpt_path).resolve().parent.parent)
        _check_checkpoint(config.ckpt_path, self.resolved)

    def instantiate_classes(self) -> None:
        """Build model, data and trainer, and hand the model the configuration it can be loaded from."""
        with self.run.discarded_if_unused():
            super().instantiate_classes()
        assert isinstance(self.model, Objective)
        self.model.resolved_config = self.resolved["model"]

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """The trainer with the run's loggers, checkpoints and record."""
        chosen = self._get(self.config_init, "trainer")
        kwargs["default_root_dir"] = str(self.run.path.resolve())
        if self.subcommand == "fit" and chosen.limit_val_batches is None:
            # not in the configuration that is kept: `zoo validate` reads that one and takes the whole split
            kwargs["limit_val_batches"] = VALIDATION_BATCHES
        if self.subcommand != "fit":
            kwargs["logger"] = False
        elif chosen.logger in (None, True):
            logs = self.run.path / "logs"
            kwargs["logger"] = [CSVLogger(logs, name="csv"), TensorBoardLogger(logs, name="tensorboard")]
        if self.subcommand == "fit" and not chosen.fast_dev_run:
            given = chosen.callbacks or []
            given = given if isinstance(given, list) else [given]
            ours = self._callbacks(chosen.enable_checkpointing is not False)
            if chosen.enable_progress_bar is not False:
                # one line in any terminal; Lightning's other bar takes a line a metric
                ours.append(TQDMProgressBar())
            kwargs["callbacks"] = [*given, *ours]
            kwargs["plugins"] = _with_streamed_checkpoints(chosen.plugins)
        return super().instantiate_trainer(**kwargs)

    def _callbacks(self, save: bool) -> list[Any]:
        facts = {
            "command": "zoo " + " ".join(sys.argv[1:]),
            "seed": self._get(self.config, "seed_everything"),
            "config_hash": experiment_hash(self.resolved),
            "name": self.run.path.name,
        }
        callbacks: list[Any] = [FiniteLoss(), Throughput(), RunRecord(self.run, self.resolved, facts)]
        if save:
            # absolute: a resumed run forgets its best score where the path was written another way before
            folder = self.run.checkpoints.resolve()
            callbacks.append(
                ModelCheckpoint(folder, "best", monitor="val/loss", save_last=False, enable_version_counter=False)
            )
            # every validation is a point to resume from, whether it was the best or not
            callbacks.append(
                ModelCheckpoint(
                    folder, "last", monitor=None, save_on_train_epoch_end=False, enable_version_counter=False
                )
            )
        return callbacks

    def fit(self, **arguments: Any) -> None:
        """Train; a run that fails before its first step leaves no folder behind."""
        with self.run.discarded_if_unused():
            self.trainer.fit(**arguments)

    def after_fit(self) -> None:
        """Say where the result is."""
        if self.trainer.is_global_zero and not self.trainer.interrupted:
            sys.stderr.write(f"zoo: trained {self.trainer.global_step} steps, run folder {self.run.path}\n")

    def predict(self, **arguments: Any) -> None:
        """Write the outputs of the test split beside the run."""
        outputs = self.trainer.predict(**arguments, return_predictions=True)
        file = self.run.path / "predictions.pt"
        partial = file.with_suffix(".tmp")
        torch.save(outputs, partial)
        partial.replace(file)
        sys.stderr.write(f"zoo: predictions written to {file}\n")


def _with_streamed_checkpoints(plugins: Any) -> list[Any]:
    """Plugins of the trainer; a way to write checkpoints that is among them stays the only one."""
    given = plugins if isinstance(plugins, list) else [plugins] if plugins is not None else []
    return given if any(isinstance(plugin, CheckpointIO) for plugin in given) else [*given, StreamedCheckpoints()]


def _settle_length(trainer: Any) -> None:
    """Bound a run that has no bound, and validate about ten times in it, the last time at its end."""
    if trainer.max_steps == -1 and trainer.max_epochs is None and trainer.max_time is None:
        trainer.max_steps = DEFAULT_STEPS
    if trainer.max_steps > 0 and trainer.max_epochs is None:
        trainer.max_epochs = -1
        if trainer.val_check_interval is None and trainer.check_val_every_n_epoch == 1:
            trainer.check_val_every_n_epoch = None
            trainer.val_check_interval = _interval(trainer.max_steps) * trainer.accumulate_grad_batches


def unsettled(trainer: dict[str, Any]) -> dict[str, Any]:
    """The trainer settings of a run without what followed from its number of steps, which is settled anew."""
    steps, batches = trainer.get("max_steps", -1), trainer.get("accumulate_grad_batches", 1)
    if steps < 1 or trainer.get("max_epochs") != -1:
        return trainer
    followed = {"max_epochs"}
    if trainer.get("val_check_interval") == _interval(steps) * batches:
        followed |= {"check_val_every_n_epoch", "val_check_interval"}
    return {key: value for key, value in trainer.items() if key not in followed}


def _interval(steps: int) -> int:
    """The largest divisor of `steps` that is at most a tenth of them, or all of them where that would be 1 of many."""
    divisors = [d for d in range(1, steps + 1) if steps % d == 0 and steps // d <= 10]
    return divisors[0]


def _check_checkpoint(path: str, resolved: dict[str, Any]) -> None:
    header = read(path)["zoo"]
    asked = resolved["model"]["class_path"].rpartition(".")[2]
    if header["class_name"] != asked:
        raise ConfigError(f"{path} holds {header['class_name']}, but the config asks for {asked}: change one of them")


def _tell_differences(before: dict[str, Any], after: dict[str, Any]) -> None:
    for key, (old, new) in _differences(before, after).items():
        sys.stderr.write(f"zoo: warning: {key} was {old!r} when the run began and is {new!r} now\n")


def _differences(before: Any, after: Any, key: str = "") -> dict[str, tuple[Any, Any]]:
    if isinstance(before, dict) and isinstance(after, dict):
        found: dict[str, tuple[Any, Any]] = {}
        for name in before.keys() & after.keys():
            found |= _differences(before[name], after[name], f"{key}.{name}" if key else name)
        return found
    return {} if before == after else {key: (before, after)}


def train(arguments: Sequence[str]) -> int:
    """Run a training command.

    Args:
        arguments: the command and its options.

    Raises:
        ConfigError: if the configuration cannot be used.
    """
    _quiet()
    arguments = with_run_config(arguments)
    try:
        TrainingCLI(
            LightningModule,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=None,
            auto_configure_optimizers=False,
            seed_everything_default=0,
            parser_class=ConfigParser,
            parser_kwargs={"prog": "zoo"},
            trainer_defaults={
                "gradient_clip_val": 1.0,
                "log_every_n_steps": 10,
                "num_sanity_val_steps": 0,
                "use_distributed_sampler": False,  # our batch samplers split by process themselves
                "enable_model_summary": False,
            },
            args=list(arguments),
        )
    except SystemExit as stop:
        # Lightning turns Ctrl-C into an exit without a word
        if isinstance(stop.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    return 0


def _quiet() -> None:
    """Advice of Lightning that does not apply here: the loaders read memory-mapped tokens, workers would only cost."""
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*LightningCLI's args parameter is intended.*")
    warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
    # scoring takes no part in what the callbacks of training keep
    warnings.filterwarnings("ignore", message=".*callbacks used to create the checkpoint need to be provided.*")
    # advertisements for hosted services, which would be the first thing that a user reads
    lightning_log = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    lightning_log.addFilter(lambda record: "Tip: " not in record.getMessage())
    torch.set_float32_matmul_precision("high")
