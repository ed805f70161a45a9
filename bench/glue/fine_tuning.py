"""One run of fine-tuning: one seed, one learning rate."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from lightning.fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from bench.glue.batches import length_grouped, shuffled
from bench.glue.bodies import Body, Classifier
from bench.glue.data import Rows
from bench.glue.metrics import UndefinedScoreError, score
from bench.glue.recipe import Recipe
from bench.glue.specs import GlueSpec
from zoo.optim.fused import prefer_fused
from zoo.optim.groups import by_role
from zoo.optim.warmup_linear import WarmupLinear

Logits = NDArray[np.float32]

_EVALUATION_BATCH = 128


@dataclass(frozen=True)
class Setting:
    """What tells one run of a recipe from another."""

    seed: int
    learning_rate: float


@dataclass(frozen=True)
class Run:
    """What one run gave.

    Args:
        logits: (rows, num_labels) of every split that was predicted, by name.
        curve: main score on the held-out training rows after each epoch, minus infinity where it is undefined; empty
            where no rows are held out.
        epoch: whose weights were kept, from 1.
        seconds: wall time.
        rows: that went through the network, those trained on once an epoch.
    """

    logits: Mapping[str, Logits]
    curve: tuple[float, ...]
    epoch: int
    seconds: float
    rows: int

    @property
    def selection(self) -> float | None:
        """Main score of the kept weights on the held-out training rows, None where there are none."""
        return self.curve[self.epoch - 1] if self.curve else None


@dataclass(frozen=True)
class TokenizedRows:
    """Rows of a split as a body reads them."""

    rows: Sequence[Any]
    labels: Tensor

    @classmethod
    def of(cls, rows: Rows, body: Body, max_length: int) -> TokenizedRows:
        """Tokenise `rows`."""
        labels = torch.from_numpy(rows.labels)
        return cls(body.tokenize(rows.texts, max_length), labels.float() if labels.is_floating_point() else labels)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each row."""
        return np.array([len(row) for row in self.rows], dtype=np.int64)


class FineTuning:
    """Fine-tunes copies of one body on one task.

    Args:
        body: its model never changes.
        spec: of the task.
        recipe: the settings.
        train: rows to train on.
        selection: rows to choose the epoch by, None to keep the last.
        device: where to compute.
        precision: `32-true` or `bf16-mixed`.
    """

    def __init__(
        self,
        body: Body,
        spec: GlueSpec,
        recipe: Recipe,
        train: TokenizedRows,
        selection: TokenizedRows | None,
        device: torch.device,
        precision: Literal["32-true", "bf16-mixed"],
    ) -> None:
        self._body, self._spec, self._recipe = body, spec, recipe
        self._train, self._selection = train, selection
        devices: Any = 1 if device.index is None else [device.index]
        self._fabric = Fabric(accelerator=device.type, devices=devices, precision=precision)

    def run(self, setting: Setting, predicted: Mapping[str, TokenizedRows], *, progress: bool = False) -> Run:
        """Train from the body's own weights and predict; the random state of the process is left as it was.

        Args:
            setting: seed and learning rate.
            predicted: rows to predict at the end, by name.
            progress: whether to draw a progress bar.

        Raises:
            ValueError: if the loss, its gradients or a prediction is no finite number.
        """
        started = time.perf_counter()
        device = self._fabric.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(setting.seed)
            model = Classifier(self._body.network(), self._body.dim, self._spec.num_labels, self._recipe.dropout)
            curve, epoch = self._fit(model, setting, progress)
            logits = {name: self._predict(model, rows) for name, rows in predicted.items()}
        held_out = 0 if self._selection is None else len(self._selection.rows)
        epochs = len(curve) or self._recipe.epochs
        rows = epochs * (len(self._train.rows) + held_out) + sum(len(part.rows) for part in predicted.values())
        return Run(logits, tuple(curve), epoch, time.perf_counter() - started, rows)

    def _fit(self, model: Classifier, setting: Setting, progress: bool) -> tuple[list[float], int]:
        """Scores on the held-out rows, and the epoch whose weights `model` has in the end."""
        recipe = self._recipe
        decay, rate = recipe.weight_decay, setting.learning_rate
        optimizer = torch.optim.AdamW(by_role(model), lr=rate, weight_decay=decay)
        prefer_fused(optimizer)
        steps = math.ceil(len(self._train.rows) / recipe.batch_size)
        schedule = WarmupLinear(optimizer, recipe.epochs * steps, warmup=recipe.warmup)
        wrapped, stepper = self._fabric.setup(model, optimizer)
        rng, lengths = np.random.default_rng(setting.seed), self._train.lengths
        curve: list[float] = []
        best: int = 0
        kept: dict[str, Tensor] = {}
        with tqdm(total=recipe.epochs * steps, desc=self._title(setting), unit="step", disable=not progress) as bar:
            for epoch in range(recipe.epochs):
                model.train()
                batches = length_grouped if recipe.group_by_length else shuffled
                for batch in batches(lengths, recipe.batch_size, rng):
                    self._step(wrapped, stepper, batch, setting)
                    schedule.step()
                    bar.update()
                if self._selection is None:
                    continue
                curve.append(self._score(model, self._selection))
                if recipe.patience is None or curve[epoch] > curve[best] or epoch == 0:
                    best, kept = epoch, _copy(model)
                elif epoch - best >= recipe.patience:
                    break
        if self._selection is None:
            return curve, recipe.epochs
        model.load_state_dict(kept)
        return curve, best + 1

    def _step(self, wrapped: Any, stepper: Any, batch: NDArray[np.int64], setting: Setting) -> None:
        inputs = self._fabric.to_device(self._body.collate([self._train.rows[i] for i in batch]))
        labels = self._fabric.to_device(self._train.labels[batch])
        logits, aux_loss = wrapped(**inputs)
        loss = F.mse_loss(logits[:, 0], labels) if self._spec.num_labels == 1 else F.cross_entropy(logits, labels)
        loss = loss if aux_loss is None else loss + aux_loss
        self._fabric.backward(loss)
        norm = self._fabric.clip_gradients(
            wrapped, stepper, max_norm=self._recipe.max_grad_norm, error_if_nonfinite=False
        )
        assert isinstance(norm, Tensor), "it is clipped by its norm"
        if not torch.isfinite(loss.detach() + norm):
            raise ValueError(
                f"{self._title(setting)}: the loss became {loss.item():g} with gradients of norm {norm.item():g}; "
                "leave out this learning rate, or use 32-true"
            )
        stepper.step()
        stepper.zero_grad()

    def _score(self, model: nn.Module, rows: TokenizedRows) -> float:
        """Main score, minus infinity where it is undefined: that is worse than any other."""
        try:
            return main_score(self._spec, rows.labels.numpy(), self._predict(model, rows))
        except UndefinedScoreError:
            return -math.inf

    @torch.inference_mode()
    def _predict(self, model: nn.Module, rows: TokenizedRows) -> Logits:
        model.eval()
        order = np.argsort(-rows.lengths, kind="stable")
        logits = np.empty((len(order), self._spec.num_labels), dtype=np.float32)
        for start in range(0, len(order), _EVALUATION_BATCH):
            batch = order[start : start + _EVALUATION_BATCH]
            inputs = self._fabric.to_device(self._body.collate([rows.rows[i] for i in batch]))
            with self._fabric.autocast():
                logits[batch] = model(**inputs).vectors.cpu().numpy()
        if not np.isfinite(logits).all():
            raise ValueError(f"{self._spec.name}: a prediction is no finite number; use 32-true")
        return logits

    def _title(self, setting: Setting) -> str:
        return f"{self._spec.name} seed {setting.seed} learning rate {setting.learning_rate:g}"


def answers(spec: GlueSpec, logits: Logits) -> NDArray[np.int64] | NDArray[np.float64]:
    """Class numbers, or scores of a regression: (rows,)."""
    return logits[:, 0].astype(np.float64) if spec.num_labels == 1 else logits.argmax(axis=1)


def main_score(spec: GlueSpec, gold: NDArray[Any], logits: Logits) -> float:
    """Mean of the metrics of the task.

    Raises:
        UndefinedScoreError: if one has no value.
    """
    return float(np.mean(list(score(spec.metrics, gold, answers(spec, logits)).values())))


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
