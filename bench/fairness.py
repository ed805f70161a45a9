"""What two scored models have not in common: a comparison is fair if that is one choice. Standard library only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from bench.records import ModelInfo, TaskInfo

# Where a choice stands in a resolved configuration.
AXES: Mapping[str, str] = {
    "objective": "model.class_path",
    "embedding": "model.init_args.embedding",
    "encoder": "model.init_args.encoder",
    "head": "model.init_args.head",
    "optimizer": "model.init_args.optimizer",
    "schedule": "model.init_args.schedule",
    "data": "data",
}
SEED = "seed_everything"
# Where files lie and what is printed: no weight depends on it.
PLACES = (
    "run_dir",
    "ckpt_path",
    "data.init_args.cache_dir",
    "trainer.default_root_dir",
    "trainer.logger",
    "trainer.log_every_n_steps",
    "trainer.enable_progress_bar",
    "trainer.enable_model_summary",
)
CONFIG = "config"
TOKENS = "tokens_seen"
TOKENS_TOLERANCE = 0.01


def conditions(model: ModelInfo) -> dict[str, str]:
    """Everything but weights, tokens seen and seed that a model was made and scored under, by flat name.

    A model without a resolved configuration has its revision in the place of one: nothing else is known to be equal.
    """
    if model.config is None:
        return _scoring(model) | {CONFIG: _origin(model)}
    own = {name: value for name, value in flatten(model.config) if not within(name, (SEED, *PLACES))}
    return _scoring(model) | own


def _scoring(model: ModelInfo) -> dict[str, str]:
    """How a model was scored."""
    found = {"dtype": model.dtype, "max_length": str(model.max_length)}
    found |= {f"prompts.{name}": repr(prompt) for name, prompt in model.prompts.items()}
    # runs of ours are compared by the cosine, and do not say so
    parts = {"similarity": "cosine", **model.parts}
    return found | {f"parts.{name}": parts[name] for name in ("pooling", "similarity") if name in parts}


def _origin(model: ModelInfo) -> str:
    """What stands for a whole configuration in the comparison with a model that has none."""
    return f"unknown (not trained here; revision {model.revision[:12]})" if model.config is None else "known"


def flatten(config: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Leaves of a nested configuration by dotted name; lists are leaves.

    >>> dict(flatten({"model": {"lr": 0.1, "betas": [0.9, 0.95]}}))
    {'model.lr': '0.1', 'model.betas': '[0.9, 0.95]'}
    """
    if isinstance(config, Mapping) and config:
        for key, value in config.items():
            yield from flatten(value, f"{name}.{key}" if name else str(key))
    else:
        yield name, str(config)


def within(name: str, places: Collection[str]) -> bool:
    """Whether a flat name is one of `places` or lies below one.

    >>> within("model.init_args.lr", ["model.init_args"]), within("data_dir", ["data"])
    (True, False)
    """
    return any(name == place or name.startswith(f"{place}.") for place in places)


def by_seed(models: Sequence[ModelInfo]) -> list[list[int]]:
    """Numbers of the models that differ in nothing but their seeds, together; all others alone.

    Models of one configuration and one seed are not put together: something unknown tells them apart.
    """
    groups: dict[object, list[int]] = defaultdict(list)
    for number, model in enumerate(models):
        tokens = (model.training or {}).get(TOKENS)
        groups[(*sorted(conditions(model).items()), tokens)].append(number)
    found: list[list[int]] = []
    for group in groups.values():
        seeds = [(models[number].config or {}).get(SEED) for number in group]
        distinct = None not in seeds and len(set(seeds)) == len(seeds)
        found += [group] if distinct else [[number] for number in group]
    return found


def differing(first: Mapping[str, str], second: Mapping[str, str]) -> list[str]:
    """Names that do not have the same value in both, sorted."""
    return sorted(name for name in {*first, *second} if first.get(name) != second.get(name))


def axes_of(names: Collection[str]) -> set[str]:
    """The choices that `names` belong to; what belongs to none stands for itself."""
    return {next((axis for axis, place in AXES.items() if within(name, [place])), name) for name in names}


def model_differences(first: ModelInfo, second: ModelInfo, allowed: Collection[str]) -> list[str]:
    """One line for each thing that differs and is not allowed to: configuration, way of scoring, tokens seen."""
    left, right = conditions(first), conditions(second)
    if first.config is None or second.config is None:  # the single options of the other one say nothing
        left, right = ({**_scoring(model), CONFIG: _origin(model)} for model in (first, second))
    lines = [
        f"{name}: {left.get(name, 'not set')} and {right.get(name, 'not set')}"
        for name in differing(left, right)
        if not within(name, allowed)
    ]
    return lines + ([] if within(TOKENS, allowed) else token_difference(first, second))


def token_difference(first: ModelInfo, second: ModelInfo) -> list[str]:
    """A line if one model has seen more than 1 % more tokens than the other, or it is not known."""
    if first.config is None or second.config is None:
        return []  # unknown with the configuration, which is a difference of its own
    counts = [(model.training or {}).get(TOKENS) for model in (first, second)]
    known = [count for count in counts if isinstance(count, int | float) and count > 0]
    if len(known) == 2 and max(known) <= (1 + TOKENS_TOLERANCE) * min(known):
        return []
    shown = [f"{count:,}" if isinstance(count, int | float) else "not recorded" for count in counts]
    return [f"{TOKENS}: {shown[0]} and {shown[1]} (more than 1 % apart)"]


def task_differences(first: TaskInfo, second: TaskInfo, allowed: Collection[str]) -> list[str]:
    """One line for each part of an evaluation that differs and is not allowed to."""
    left, right = first.parts, second.parts
    return [
        f"{first.name}.{name}: {left.get(name)} and {right.get(name)}"
        for name in differing(left, right)
        if not within(name, allowed) and not within(f"{first.name}.{name}", allowed)
    ]
