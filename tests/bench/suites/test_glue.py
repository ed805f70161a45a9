from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from tokenizers import Tokenizer

from bench.glue import data, fine_tuning
from bench.glue.fine_tuning import Run, Setting
from bench.glue.recipe import RECIPES, Recipe, named
from bench.glue.specs import SPECS
from bench.parallel import ALONE
from bench.protocols import Context, NotApplicableError
from bench.records import ModelInfo
from bench.suites import glue
from bench.suites.glue import GlueTask, best_run, choose_rate
from zoo.encoders import DenseEncoder
from zoo.objectives import Contrastive

RECIPE = Recipe(
    name="test", seeds=(1, 2), learning_rates=(1e-4, 3e-3), epochs=2, selection=0.3, batch_size=16, max_length=16
)
INFO = ModelInfo(name="owner/m", parts={"weights": "a"}, kind="zoo", dtype="float32")


@dataclass
class Hub:
    """The tables of GLUE, learnable: the words of a class stand in one half of the alphabet."""

    words: list[str]
    tables: dict[tuple[str, str], Dataset] = field(default_factory=dict)

    def add(self, task: str, *, without: tuple[str, ...] = (), flip: bool = False) -> None:
        spec = SPECS[task]
        for config, split in data.parts([spec]):
            if split not in without:
                self.tables[config, split] = self.table(spec.columns, spec.num_labels, split, flip=flip)

    def table(self, columns: tuple[str, ...], num_labels: int, split: str, *, flip: bool) -> Dataset:
        rng = random.Random(split)
        count = 60 if split == "train" else 30
        labels = [i % 2 for i in range(count)]
        halves = [self.words[30:], self.words[:30]]
        texts = {c: [" ".join(rng.choices(halves[y], k=rng.randrange(1, 6))) for y in labels] for c in columns}
        given: list[Any] = [1 - y for y in labels] if flip and split.startswith("validation") else list(labels)
        given = [5 * y * rng.random() for y in given] if num_labels == 1 else given
        given = [-1 for _ in given] if split.startswith("test") else given
        return Dataset.from_dict({**texts, "label": given, "idx": list(range(count))})

    def load(self, path: str, config: str, *, split: str, revision: str, bundle: Any = None) -> Dataset:
        if (config, split) not in self.tables:
            raise ValueError(f'Unknown split "{split}". Should be one of [].')
        return self.tables[config, split]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tokenizer: Tokenizer) -> Hub:
    words = sorted(word for word in tokenizer.get_vocab() if len(word) == 2)
    hub = Hub(words)
    monkeypatch.setattr(data, "load_dataset", hub.load)
    return hub


@pytest.fixture
def model(tokenizer: Tokenizer) -> Any:
    torch.manual_seed(0)
    objective = Contrastive(width=16, encoder=partial(DenseEncoder, num_layers=1, num_heads=2))
    objective.build(tokenizer, 16)
    encoder = SimpleNamespace(describe=lambda: INFO, device="cpu")
    return SimpleNamespace(objective=objective, encoder=encoder)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(None, tmp_path, ALONE, None, progress=False)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Setting]:
    """The settings that were trained, in order."""
    settings: list[Setting] = []
    run = fine_tuning.FineTuning.run

    def spy(self: fine_tuning.FineTuning, setting: Setting, *args: Any, **more: Any) -> Run:
        settings.append(setting)
        return run(self, setting, *args, **more)

    monkeypatch.setattr(fine_tuning.FineTuning, "run", spy)
    return settings


def prepared(task: str, recipe: Recipe = RECIPE) -> GlueTask:
    made = GlueTask(SPECS[task], recipe)
    made.prepare()
    return made


@pytest.mark.parametrize("task", ["CoLA", "MRPC", "STS-B"])
def test_scores_are_those_of_the_examples(task: str, hub: Hub, model: Any, context: Context) -> None:
    hub.add(task)
    outcome = prepared(task).score(model, context)
    spec, scores = SPECS[task], outcome.scores
    assert outcome.examples is not None
    assert outcome.examples.statistic() == pytest.approx(scores.main, abs=1e-9)
    assert outcome.examples.count == 30
    assert scores.main == scores.all[spec.metric] == pytest.approx(np.mean([scores.all[m] for m in spec.metrics]))
    seeds = [scores.all[f"seed_{seed}/{spec.metric}"] for seed in RECIPE.seeds]
    assert scores.main == pytest.approx(np.mean(seeds))
    assert scores.all["deviation_of_seeds"] == pytest.approx(np.std(seeds, ddof=1))
    assert scores.all["learning_rate"] == 3e-3
    assert scores.main > 0.3
    assert scores.interval is not None
    assert outcome.texts == outcome.texts_encoded > 0


def test_a_second_call_trains_nothing(hub: Hub, model: Any, context: Context, trained: list[Setting]) -> None:
    hub.add("SST-2")
    first = prepared("SST-2").score(model, context)
    assert len(trained) == 4
    second = prepared("SST-2").score(model, context)
    assert len(trained) == 4
    assert second.scores == first.scores
    assert (second.texts, second.texts_encoded, second.encode_seconds) == (first.texts, 0, 0)


def test_a_stopped_command_loses_one_run(
    hub: Hub, model: Any, context: Context, trained: list[Setting], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("CoLA")
    run = fine_tuning.FineTuning.run

    def stop(self: fine_tuning.FineTuning, setting: Setting, *args: Any, **more: Any) -> Run:
        if len(trained) == 2:
            raise KeyboardInterrupt
        return run(self, setting, *args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(fine_tuning.FineTuning, "run", stop)
        with pytest.raises(KeyboardInterrupt):
            prepared("CoLA").score(model, context)
    prepared("CoLA").score(model, context)
    assert len(trained) == 4
    assert len(set(trained)) == 4


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ({"seeds": (1, 2, 3)}, 2),
        ({"learning_rates": (3e-3,)}, 0),
        ({"name": "other"}, 0),
        ({"epochs": 1}, 4),
        ({"max_train": 40}, 4),
    ],
)
def test_what_is_trained_again_for_another_recipe(
    change: dict[str, Any], again: int, hub: Hub, model: Any, context: Context, trained: list[Setting]
) -> None:
    hub.add("CoLA")
    prepared("CoLA").score(model, context)
    trained.clear()
    prepared("CoLA", replace(RECIPE, **change)).score(model, context)
    assert len(trained) == again


def test_other_weights_are_trained_again(hub: Hub, model: Any, context: Context, trained: list[Setting]) -> None:
    hub.add("CoLA")
    prepared("CoLA").score(model, context)
    model.encoder.describe = lambda: replace(INFO, parts={"weights": "b"})
    prepared("CoLA").score(model, context)
    assert len(trained) == 8


def test_the_validation_split_chooses_nothing(hub: Hub, model: Any, context: Context, tmp_path: Path) -> None:
    hub.add("SST-2")
    right = prepared("SST-2").score(model, context).scores
    hub.add("SST-2", flip=True)
    wrong = prepared("SST-2").score(model, replace(context, results=tmp_path / "other")).scores
    assert wrong.all["learning_rate"] == right.all["learning_rate"]
    assert wrong.all["epochs"] == right.all["epochs"]
    assert wrong.main == pytest.approx(1 - right.main)
    assert wrong.main < 0.3


def test_both_sides_of_mnli_share_their_runs(
    hub: Hub, model: Any, context: Context, trained: list[Setting], tmp_path: Path
) -> None:
    hub.add("MNLI-m")
    hub.add("MNLI-mm")
    for task in ("MNLI-m", "MNLI-mm"):
        prepared(task).score(model, context)
    assert len(trained) == 4
    (folder,) = (tmp_path / "glue" / "submissions").iterdir()
    assert {path.name for path in (folder / "test").iterdir()} == {"MNLI-m.tsv", "MNLI-mm.tsv", "AX.tsv"}
    lines = (folder / "test" / "AX.tsv").read_text().splitlines()
    assert len(lines) == 31
    assert {line.split("\t")[1] for line in lines[1:]} <= {"entailment", "neutral", "contradiction"}


def test_a_test_split_that_is_absent_is_said(hub: Hub, model: Any, context: Context, tmp_path: Path) -> None:
    hub.add("RTE", without=("test",))
    scores = prepared("RTE").score(model, context).scores
    assert scores.absent == {"RTE.tsv": "the data has no split test of rte"}
    assert not (tmp_path / "glue" / "submissions").exists()


def test_the_weights_of_the_model_stay(hub: Hub, model: Any, context: Context) -> None:
    hub.add("CoLA")
    before = {name: tensor.clone() for name, tensor in model.objective.state_dict().items()}
    prepared("CoLA").score(model, context)
    assert all(torch.equal(value, before[name]) for name, value in model.objective.state_dict().items())


def test_the_rows_decide_the_hash(hub: Hub) -> None:
    hub.add("CoLA")
    first = prepared("CoLA").info
    assert first.rows is not None
    assert first.check is not None
    assert first.check.status == "deviates"
    hub.add("CoLA", flip=True)
    assert prepared("CoLA").info.rows != first.rows


def test_a_recipe_has_a_column_of_its_own() -> None:
    sources = SimpleNamespace(glue_recipe=None, bundle=None)
    (standard,) = glue.tasks(["GLUE/CoLA"], sources)  # type: ignore[arg-type]
    (quick,) = glue.tasks(["GLUE/CoLA(quick,max_train=50)"], sources)  # type: ignore[arg-type]
    sources.glue_recipe = "quick,max_train=50"
    (by_option,) = glue.tasks(["GLUE/CoLA"], sources)  # type: ignore[arg-type]
    assert standard.info.name == "GLUE/CoLA"
    assert quick.info == by_option.info
    assert quick.info.name == "GLUE/CoLA(quick,max_train=50)"
    assert len({info.key for info in (standard.info, quick.info)}) == 2
    for recipe in RECIPES.values():
        assert GlueTask(SPECS["CoLA"], recipe).info.scoring.endswith(recipe.text)
    (again,) = glue.tasks([quick.info.name], SimpleNamespace(glue_recipe=None, bundle=None))  # type: ignore[arg-type]
    assert again.recipe == named("quick,max_train=50")


def test_names() -> None:
    sources: Any = SimpleNamespace(glue_recipe=None, bundle=None)
    assert [t.info.name for t in glue.tasks(["GLUE/MNLI"], sources)] == ["GLUE/MNLI-m", "GLUE/MNLI-mm"]
    assert [t.info.name for t in glue.tasks(glue.NAMES, sources)] == list(glue.NAMES)
    for name in ("GLUE/Cola", "CoLA", "GLUE/CoLA(fast)"):
        with pytest.raises(ValueError, match=r"GLUE|recipe"):
            glue.tasks([name], sources)


def test_models_without_a_network_are_not_applicable() -> None:
    with pytest.raises(NotApplicableError):
        GlueTask(SPECS["CoLA"], RECIPE).describe(SimpleNamespace())


def test_the_rate_with_the_best_mean_is_chosen() -> None:
    def run(selection: float) -> Run:
        return Run({}, (selection,), 1, 0.0, 0)

    found = {(1, 1e-4): 0.9, (2, 1e-4): 0.1, (1, 3e-3): 0.6, (2, 3e-3): 0.6}
    runs = {Setting(seed, rate): run(value) for (seed, rate), value in found.items()}
    assert choose_rate(RECIPE, runs) == 3e-3
    equal = {setting: run(0.5) for setting in runs}
    assert choose_rate(RECIPE, equal) == 1e-4
    assert best_run([run(0.1), run(0.3), run(0.3)]).selection == 0.3


class TwoWorkers:
    """The second of two processes; the first has done its part when this one waits."""

    rank, world_size, device = 1, 2, None

    def __init__(self, first: Callable[[], None]) -> None:
        self.agree = lambda error: first()


def test_processes_share_the_runs(hub: Hub, model: Any, context: Context, trained: list[Setting]) -> None:
    hub.add("CoLA")
    halves: list[list[Setting]] = []

    def first() -> None:
        halves.append(list(trained))
        prepared("CoLA").score(model, context)

    workers: Any = TwoWorkers(first)
    found = prepared("CoLA").score(model, replace(context, workers=workers))
    assert len(halves[0]) == 2
    assert len(trained) == 4
    assert found.scores == prepared("CoLA").score(model, context).scores


def test_a_folder_that_is_not_shared_is_refused(hub: Hub, model: Any, context: Context) -> None:
    hub.add("CoLA")
    workers: Any = TwoWorkers(lambda: None)
    with pytest.raises(ValueError, match="share the results folder"):
        prepared("CoLA").score(model, replace(context, workers=workers))
