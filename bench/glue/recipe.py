"""The declared recipe of fine-tuning: every setting in one place, and all of them in the record."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_MANY = "+"  # between the values of one setting


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How an encoder is fine-tuned on a task.

    Each learning rate is tried with each seed. A part of the training rows, never the validation split, chooses the
    epoch of each run and the learning rate (best mean over the seeds). The validation split is scored once a seed.

    Args:
        name: what tells its results from those of other recipes.
        seeds: each gives its own head, order of rows and dropout.
        learning_rates: peaks of AdamW, the same for the head and the body.
        epochs: most passes over the training rows; the schedule falls to 0 at their end.
        patience: epochs without a better score after which a run ends; None runs all, with the last one kept.
        selection: share of the training rows that is held out to choose by, and at most 1,000; 0 trains on all.
        batch_size: rows a step.
        warmup: share of the steps in which the learning rate rises.
        weight_decay: of matrices; biases, gains of norms and vocabulary tables of ours are never decayed.
        dropout: before the head; inside the body it is the model's own.
        max_length: tokens of a row with its special tokens; a model that reads less keeps its own limit.
        max_train: training rows used, chosen by content with the shares of the labels kept; None uses all.
        max_grad_norm: gradients are scaled down to this norm.
        group_by_length: whether the rows of a batch are of similar length, which saves pad tokens; pairs that share a
            sentence then often meet in one step.

    Raises:
        ValueError: if the settings do not fit together.
    """

    name: str
    seeds: tuple[int, ...] = (1, 2, 3)
    learning_rates: tuple[float, ...] = (2e-5, 5e-5, 1e-4)
    epochs: int = 5
    patience: int | None = 2
    selection: float = 0.1
    batch_size: int = 32
    warmup: float = 0.06
    weight_decay: float = 0.01
    dropout: float = 0.1
    max_length: int = 128
    max_train: int | None = None
    max_grad_norm: float = 1.0
    group_by_length: bool = True

    def __post_init__(self) -> None:
        chooses = len(self.learning_rates) > 1 or self.patience is not None
        problems = {
            "seeds must be different, and at least one": not self.seeds or len(set(self.seeds)) < len(self.seeds),
            "learning_rates must be positive": not self.learning_rates or min(self.learning_rates) <= 0,
            "epochs, batch_size and patience must be at least 1": min(self.epochs, self.batch_size) < 1
            or (self.patience is not None and self.patience < 1),
            "selection, warmup and dropout must lie in [0, 1)": not all(
                0 <= share < 1 for share in (self.selection, self.warmup, self.dropout)
            ),
            "max_length must be at least 8": self.max_length < 8,
            "max_train must be at least 1, or none": self.max_train is not None and self.max_train < 1,
            "several learning_rates or a patience need rows to choose by: set selection, such as 0.1": chooses
            and self.selection == 0,
        }
        for problem, found in problems.items():
            if found:
                raise ValueError(f"recipe {self.name}: {problem}")

    @property
    def text(self) -> str:
        """All settings but the name, as one line.

        Example:
            >>> RECIPES["quick"].text[:60]
            'seeds=1 learning_rates=5e-05 epochs=3 patience=2 selection=0'
        """
        values = dataclasses.asdict(self)
        del values["name"]
        return " ".join(f"{name}={_write(value)}" for name, value in values.items())


STANDARD = Recipe(name="standard")
QUICK = Recipe(name="quick", seeds=(1,), learning_rates=(5e-5,), epochs=3)
RUN_GLUE = Recipe(
    name="run_glue",  # the settings that the documentation of transformers gives its script of this name
    learning_rates=(2e-5,),
    epochs=3,
    patience=None,
    selection=0.0,
    warmup=0.0,
    weight_decay=0.0,
    group_by_length=False,
)
RECIPES: Mapping[str, Recipe] = {recipe.name: recipe for recipe in (STANDARD, QUICK, RUN_GLUE)}


def named(text: str) -> Recipe:
    """A recipe by its name, with changes if there are any: `NAME` or `NAME,SETTING=VALUE,...`.

    Several values of a setting stand with a `+` between them, and `none` takes a limit away. A changed recipe is named
    by its changes, so that its results stand in a column of their own.

    Raises:
        ValueError: for a name, setting or value that does not exist, with the nearest that does.

    Example:
        >>> named("quick,max_train=2000,seeds=1+2").name
        'quick,max_train=2000,seeds=1+2'
    """
    name, *changes = text.split(",")
    if name not in RECIPES:
        raise ValueError(f"recipe {name!r}: no such recipe; there are {', '.join(RECIPES)}")
    base = RECIPES[name]
    settings = {field.name: getattr(base, field.name) for field in dataclasses.fields(Recipe) if field.name != "name"}
    changed: dict[str, Any] = {}
    for change in changes:
        setting, _, value = change.partition("=")
        if setting not in settings:
            near = difflib.get_close_matches(setting, settings, n=1, cutoff=0.0)[0]
            raise ValueError(f"recipe {text!r}: no setting {setting!r}; the nearest is {near}")
        changed[setting] = _read(setting, value, settings[setting])
    changed = {setting: value for setting, value in changed.items() if value != settings[setting]}
    label = ",".join([name, *(f"{setting}={_write(changed[setting])}" for setting in sorted(changed))])
    return dataclasses.replace(base, **changed, name=label)


def _write(value: Any) -> str:
    if isinstance(value, tuple):
        return _MANY.join(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None else str(value)


def _read(setting: str, text: str, example: Any) -> Any:
    """`text` as a value of the type of the setting."""
    if text == "none" and setting in ("patience", "max_train"):
        return None
    if isinstance(example, bool):
        if text not in ("true", "false"):
            raise ValueError(f"recipe: {setting}={text}: write true or false")
        return text == "true"
    number: type[int] | type[float] = float
    first = example[0] if isinstance(example, tuple) else example
    if isinstance(first, int) or first is None:
        number = int
    try:
        values = tuple(number(part) for part in text.split(_MANY))
    except ValueError as error:
        raise ValueError(f"recipe: {setting}={text}: write {number.__name__}s, such as {_write(example)}") from error
    if isinstance(example, tuple):
        return values
    if len(values) > 1:
        raise ValueError(f"recipe: {setting} takes one value, not {text}")
    return values[0]
