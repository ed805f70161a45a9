"""Suite `glue`: an encoder is fine-tuned on each task by one declared recipe and scored on its validation split."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from datasets import Dataset

from bench.data.bundle import Bundle
from bench.data.known import KnownRows
from bench.data.rows import hash_parts
from bench.examples import Examples
from bench.glue import data, metrics, submission
from bench.glue.bodies import Body, check, open_body
from bench.glue.data import GlueData, Rows
from bench.glue.fine_tuning import FineTuning, Run, Setting, TokenizedRows, answers
from bench.glue.recipe import STANDARD, Recipe, named
from bench.glue.runs import RunStore
from bench.glue.sampling import choose, split
from bench.glue.specs import PATH, REVISION, SPECS, GlueSpec
from bench.protocols import Context, Model, Outcome
from bench.records import ModelInfo, Scores, TaskInfo
from bench.records.files import slug
from bench.suites.intervals import with_interval

if TYPE_CHECKING:
    from bench.suites.catalog import Sources

VERSION = 1
PREFIX = "GLUE/"
NAMES = tuple(f"{PREFIX}{name}" for name in SPECS)


def tasks(names: Sequence[str], sources: Sources) -> list[GlueTask]:
    """The tasks called `names`.

    Args:
        names: `GLUE/CoLA`, `GLUE/MNLI` for both of its sides, or `GLUE/CoLA(quick)` with a recipe of its own.
        sources: recipe and bundle.

    Raises:
        ValueError: for a name or a recipe that does not exist.
    """
    found = []
    for name in names:
        task, recipe = _parse(name)
        specs = [spec for spec in SPECS.values() if task in (spec.name, spec.name.rpartition("-")[0])]
        if not specs:
            raise ValueError(f"{name}: no such task of GLUE; there are {', '.join(NAMES)}")
        chosen = named(recipe or sources.glue_recipe or STANDARD.name)
        found += [GlueTask(spec, chosen, sources.bundle) for spec in specs]
    return found


class GlueTask:
    """One task of GLUE.

    Every run of the recipe is kept in `RESULTS/glue/runs`, so that a stopped command loses at most one. The test
    predictions of the run that is best on the held-out training rows are written to `RESULTS/glue/submissions`.

    Args:
        spec: of the task.
        recipe: of the fine-tuning.
        bundle: where the data is read from, None for the hub.
        known: row hashes of data that was loaded before.
    """

    def __init__(
        self, spec: GlueSpec, recipe: Recipe, bundle: Bundle | None = None, known: KnownRows | None = None
    ) -> None:
        self.spec, self.recipe = spec, recipe
        self._bundle, self._known = bundle, known
        self._related = [other for other in SPECS.values() if other.config == spec.config]
        self._lock = threading.Lock()
        self._data: GlueData | None = None
        info = _describe(spec, recipe)
        self.info = info if known is None else known.complete(info)

    def prepare(self) -> None:
        """Load the rows and hash those that are trained on and scored."""
        with self._lock:
            if self._data is not None:
                return
            loaded = data.load(self.spec, self._related, self._bundle)
            hashes: dict[tuple[str, ...], str] = {(data.TRAIN,): loaded.train.sha256}
            hashes[self.spec.validation,] = loaded.scored[self.spec.validation].sha256
            self.info = replace(self.info, rows=hash_parts(hashes), check=data.check(self.spec, loaded))
            if self._known is not None:
                self._known.remember(self.info)
            self._data = loaded

    def release(self) -> None:
        """Drop the rows."""
        with self._lock:
            self._data = None

    @property
    def datasets(self) -> Mapping[str, Callable[[], Dataset]]:
        """What a bundle must hold for this task."""
        return data.loaders(self.spec)

    def describe(self, model: Model) -> ModelInfo:
        """The encoder of `model`, if it has a network that can be fine-tuned."""
        check(model)
        assert model.encoder is not None, "what has a network is an encoder"
        return model.encoder.describe()

    def score(self, model: Model, context: Context) -> Outcome:
        """Fine-tune what is not yet, choose the learning rate, and score the validation split once a seed."""
        assert self._data is not None, "prepare() comes first"
        info = self.describe(model)
        loaded = self._data
        store = RunStore(context.results / "glue" / "runs", self._inputs(info, loaded))
        trained = self._train(model, info, loaded, store, context)
        runs = {setting: _require(store, setting) for setting in self._settings()}
        chosen = choose_rate(self.recipe, runs)
        final = {seed: runs[Setting(seed, chosen)] for seed in self.recipe.seeds}
        absent = {}
        if context.workers.rank == 0:
            folder = context.results / "glue" / "submissions" / f"{slug(info.name)}-{info.revision[:12]}"
            absent = self._submit(folder / slug(self.recipe.name), loaded, best_run(list(final.values())))
        gold = loaded.scored[self.spec.validation]
        examples = self._examples(gold, final)
        scores = replace(self._scores(gold, final, chosen), absent=absent)
        return Outcome(
            task=self.info,
            scores=with_interval(scores, examples),
            encode_seconds=sum(run.seconds for run in trained),
            texts=sum(run.rows for run in runs.values()),
            texts_encoded=sum(run.rows for run in trained),
            examples=examples,
        )

    def _settings(self) -> list[Setting]:
        return [Setting(seed, rate) for rate in self.recipe.learning_rates for seed in self.recipe.seeds]

    def _inputs(self, info: ModelInfo, loaded: GlueData) -> dict[str, Any]:
        """All that decides a run beside its setting; the seeds and rates that it is compared with do not."""
        recipe = replace(self.recipe, name="", seeds=(0,), learning_rates=(1.0,))
        rows = {"train": loaded.train.sha256, **{name: rows.sha256 for name, rows in _predicted(loaded).items()}}
        return {
            "version": VERSION,
            "model": info.revision,
            "config": self.spec.config,
            "recipe": recipe.text,
            "rows": rows,
        }

    def _train(self, model: Model, info: ModelInfo, loaded: GlueData, store: RunStore, context: Context) -> list[Run]:
        """Do the missing runs that fall to this process, and wait for the others."""
        workers = context.workers
        mine = self._settings()[workers.rank :: workers.world_size]
        todo = [setting for setting in mine if store.load(setting) is None]
        done: list[Run] = []
        failure: Exception | None = None
        try:
            if todo:
                body = open_body(model)
                tuning = self._tuning(body, _device(model), info, loaded)
                predicted = {
                    name: TokenizedRows.of(rows, body, self.recipe.max_length)
                    for name, rows in _predicted(loaded).items()
                }
                for setting in todo:
                    done.append(tuning.run(setting, predicted, progress=context.progress and workers.rank == 0))
                    store.save(setting, done[-1])
        except Exception as error:
            failure = error
        workers.agree(failure)
        return done

    def _tuning(self, body: Body, device: torch.device, info: ModelInfo, loaded: GlueData) -> FineTuning:
        recipe, train = self.recipe, loaded.train
        if recipe.max_train is not None and recipe.max_train < len(train):
            train = train.take(choose(train.texts, train.labels.tolist(), recipe.max_train))
        fit, held_out = split(train.texts, train.labels.tolist(), recipe.selection)
        selection = TokenizedRows.of(train.take(held_out), body, recipe.max_length) if held_out else None
        precision: Literal["32-true", "bf16-mixed"] = "32-true" if info.dtype == "float32" else "bf16-mixed"
        rows = TokenizedRows.of(train.take(fit), body, recipe.max_length)
        return FineTuning(body, self.spec, recipe, rows, selection, device, precision)

    def _scores(self, gold: Rows, final: Mapping[int, Run], rate: float) -> Scores:
        """Means over the seeds, the deviation between them, and the scores of each."""
        by_seed = {}
        for seed, run in final.items():
            found = metrics.score(self.spec.metrics, gold.labels, answers(self.spec, run.logits[self.spec.validation]))
            by_seed[seed] = {**found, self.spec.metric: float(np.mean(list(found.values())))}
        names = list(dict.fromkeys([self.spec.metric, *self.spec.metrics]))
        means = {name: float(np.mean([scores[name] for scores in by_seed.values()])) for name in names}
        more = {"learning_rate": rate, "epochs": float(np.mean([run.epoch for run in final.values()]))}
        if len(final) > 1:
            more["deviation_of_seeds"] = float(np.std([s[self.spec.metric] for s in by_seed.values()], ddof=1))
        held_out = [run.selection for run in final.values()]
        if all(value is not None and np.isfinite(value) for value in held_out):
            more[f"held_out/{self.spec.metric}"] = float(np.mean(np.array(held_out, dtype=float)))
        each = {f"seed_{seed}/{name}": value for seed, scores in by_seed.items() for name, value in scores.items()}
        return Scores(means[self.spec.metric], {**means, **more, **each})

    def _examples(self, gold: Rows, final: Mapping[int, Run]) -> Examples:
        predicted = [answers(self.spec, run.logits[self.spec.validation]) for run in final.values()]
        return Examples.of_predictions(
            self.spec.metric,
            "_".join(self.spec.metrics),
            gold.labels,
            np.stack(predicted, axis=1),
            ids=gold.ids.tolist(),
        )

    def _submit(self, folder: Path, loaded: GlueData, run: Run) -> dict[str, str]:
        """Write the test predictions; why there are none, by the name of the file."""
        for part, file in self.spec.tests.items():
            if part in loaded.tests:
                submission.write(folder / file, self.spec, loaded.tests[part], run.logits["/".join(part)])
        missing = {self.spec.tests[part]: part for part in loaded.missing if part in self.spec.tests}
        return {file: f"the data has no split {split} of {config}" for file, (config, split) in missing.items()}


def choose_rate(recipe: Recipe, runs: Mapping[Setting, Run]) -> float:
    """The learning rate with the best mean over the seeds on the held-out training rows; the first of equals."""
    if len(recipe.learning_rates) == 1:
        return recipe.learning_rates[0]
    means = {
        rate: float(np.mean([float(runs[Setting(seed, rate)].selection or 0.0) for seed in recipe.seeds]))
        for rate in recipe.learning_rates
    }
    return max(means, key=lambda rate: means[rate])


def best_run(runs: Sequence[Run]) -> Run:
    """The best on the held-out training rows, the first where none are held out."""
    return max(runs, key=lambda run: 0.0 if run.selection is None else run.selection)


def _describe(spec: GlueSpec, recipe: Recipe) -> TaskInfo:
    suffix = "" if recipe == STANDARD else f"({recipe.name})"
    return TaskInfo(
        name=f"{PREFIX}{spec.name}{suffix}",
        type="FineTuning",
        suite="glue",
        dataset=PATH,
        revision=REVISION,
        split=spec.validation,
        subset=spec.config,
        metric=spec.metric,
        higher_is_better=True,
        languages=("eng-Latn",),
        scoring=f"zoo glue {VERSION}; {recipe.text}",
    )


def _parse(name: str) -> tuple[str, str | None]:
    """Name of the task and of its recipe, None where it names none."""
    found = re.fullmatch(rf"{PREFIX}([^()]+)(?:\(([^()]+)\))?", name)
    if found is None:
        raise ValueError(f"{name}: write GLUE/TASK or GLUE/TASK(RECIPE)")
    return found[1], found[2]


def _predicted(loaded: GlueData) -> dict[str, Rows]:
    """Every split that a trained model answers, by name."""
    return {**loaded.scored, **{"/".join(part): rows for part, rows in loaded.tests.items()}}


def _device(model: Model) -> torch.device:
    return torch.device(model.encoder.device)  # type: ignore[union-attr]


def _require(store: RunStore, setting: Setting) -> Run:
    run = store.load(setting)
    if run is None:
        raise ValueError(f"{store.path(setting)} is not there: all processes must share the results folder")
    return run
