from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import BertForSequenceClassification, get_linear_schedule_with_warmup

from bench.glue.batches import length_grouped, shuffled
from bench.glue.bodies import Body, Classifier
from bench.glue.data import Rows
from bench.glue.fine_tuning import FineTuning, Run, Setting, TokenizedRows, answers, main_score
from bench.glue.recipe import Recipe
from bench.glue.specs import SPECS
from bench.glue.transformer_body import TransformerBody
from bench.glue.zoo_body import ZooBody

RECIPE = Recipe(name="test", seeds=(1,), learning_rates=(3e-3,), epochs=3, patience=None, batch_size=8, max_length=24)
SETTING = Setting(1, 3e-3)
CPU = torch.device("cpu")

NewTuning = Callable[..., FineTuning]


@pytest.fixture
def new_tuning(make_rows: Callable[..., Rows]) -> NewTuning:
    def make(body: Body, recipe: Recipe = RECIPE, task: str = "CoLA", *, held_out: bool = False) -> FineTuning:
        regression = task == "STS-B"
        train = TokenizedRows.of(make_rows(150, regression=regression), body, 24)
        selection = TokenizedRows.of(make_rows(60, 1, regression=regression), body, 24) if held_out else None
        return FineTuning(body, SPECS[task], recipe, train, selection, CPU, "32-true")

    return make


@pytest.fixture
def scored(make_rows: Callable[..., Rows]) -> Rows:
    return make_rows(80, 2)


def run(tuning: FineTuning, body: Body, rows: Rows, setting: Setting = SETTING) -> Run:
    return tuning.run(setting, {"validation": TokenizedRows.of(rows, body, 24)})


@pytest.mark.parametrize("name", ["zoo_body", "short_tables_body", "transformer_body"])
def test_a_task_is_learnt(name: str, request: pytest.FixtureRequest, new_tuning: NewTuning, scored: Rows) -> None:
    body: Body = request.getfixturevalue(name)
    recipe = replace(RECIPE, epochs=5)
    found = run(new_tuning(body, recipe), body, scored)
    assert main_score(SPECS["CoLA"], scored.labels, found.logits["validation"]) > 0.9
    assert (found.curve, found.epoch, found.selection) == ((), 5, None)
    assert found.rows == 5 * 150 + 80


def test_a_regression_is_learnt(zoo_body: ZooBody, new_tuning: NewTuning, make_rows: Callable[..., Rows]) -> None:
    scored = make_rows(80, 2, regression=True)
    found = run(new_tuning(zoo_body, replace(RECIPE, epochs=5), "STS-B"), zoo_body, scored)
    assert main_score(SPECS["STS-B"], scored.labels, found.logits["validation"]) > 0.8
    predicted = answers(SPECS["STS-B"], found.logits["validation"])
    assert np.abs(predicted - scored.labels).mean() < 1.6, "a constant is 2.2 off"


def test_the_seed_decides_everything_and_nothing_else_does(
    transformer_body: TransformerBody, new_tuning: NewTuning, scored: Rows
) -> None:
    torch.manual_seed(7)
    state = torch.random.get_rng_state()
    first = run(new_tuning(transformer_body), transformer_body, scored)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(8)
    tuning = new_tuning(transformer_body)
    other = run(tuning, transformer_body, scored, Setting(2, 3e-3))
    again = run(tuning, transformer_body, scored)
    assert np.array_equal(first.logits["validation"], again.logits["validation"])
    assert not np.allclose(first.logits["validation"], other.logits["validation"])


def test_predictions_do_not_depend_on_the_batch(zoo_body: ZooBody, new_tuning: NewTuning, scored: Rows) -> None:
    tuning = new_tuning(zoo_body)
    one = run(tuning, zoo_body, scored.take(range(5))).logits["validation"]
    assert np.abs(run(tuning, zoo_body, scored).logits["validation"][:5] - one).max() < 1e-5


@pytest.mark.parametrize("batches", [length_grouped, shuffled])
def test_equals_transformers(
    batches: Callable[..., list[NDArray[np.int64]]],
    make_transformer: Callable[..., SimpleNamespace],
    make_rows: Callable[..., Rows],
    scored: Rows,
) -> None:
    """The same rows in the same order without dropout: what the loop of transformers would give."""
    transformer = make_transformer(dropout=0.0)
    body = TransformerBody(transformer)
    grouped = batches is length_grouped
    recipe = replace(RECIPE, epochs=5, dropout=0.0, weight_decay=0.1, warmup=0.0, group_by_length=grouped)
    train = TokenizedRows.of(make_rows(150), body, 24)
    found = FineTuning(body, SPECS["CoLA"], recipe, train, None, CPU, "32-true").run(
        SETTING, {"validation": TokenizedRows.of(scored, body, 24)}
    )

    model = BertForSequenceClassification(transformer.auto_model.config)
    model.bert.load_state_dict(transformer.auto_model.state_dict())
    torch.manual_seed(SETTING.seed)
    model.classifier.load_state_dict(Classifier(nn.Identity(), 16, 2, 0.0).head.state_dict())
    kept = [p for n, p in model.named_parameters() if "bias" in n or "LayerNorm" in n]
    decayed = [p for n, p in model.named_parameters() if not ("bias" in n or "LayerNorm" in n)]
    groups = [{"params": kept, "weight_decay": 0.0}, {"params": decayed, "weight_decay": 0.1}]
    optimizer = torch.optim.AdamW(groups, lr=SETTING.learning_rate)
    schedule = get_linear_schedule_with_warmup(optimizer, 0, 5 * 19)
    rng = np.random.default_rng(SETTING.seed)
    model.train()
    for _ in range(5):
        for batch in batches(train.lengths, 8, rng):
            inputs = body.collate([train.rows[i] for i in batch])
            model(**inputs, labels=train.labels[batch]).loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
    with torch.no_grad():
        expected = model.eval()(**body.collate(body.tokenize(scored.texts, 24))).logits.numpy()
    assert np.ptp(expected[:, 0]) > 0.3, "nothing was learnt"
    assert np.abs(found.logits["validation"] - expected).max() < 1e-3 * np.abs(expected).max()


def test_the_best_epoch_is_kept(zoo_body: ZooBody, new_tuning: NewTuning, scored: Rows) -> None:
    scores = iter([0.3, 0.6, 0.5, 0.6, 0.9])
    kept: list[dict[str, Tensor]] = []
    tuning = new_tuning(zoo_body, replace(RECIPE, epochs=5, patience=2), held_out=True)

    def score(model: nn.Module, rows: TokenizedRows) -> float:
        kept.append(copy.deepcopy(model.state_dict()))
        return next(scores)

    final: list[dict[str, Tensor]] = []
    predict = tuning._predict

    def spy(model: nn.Module, rows: TokenizedRows) -> Any:
        final.append(copy.deepcopy(model.state_dict()))
        return predict(model, rows)

    tuning._score, tuning._predict = score, spy  # type: ignore[method-assign]
    found = run(tuning, zoo_body, scored)
    assert found.curve == (0.3, 0.6, 0.5, 0.6)
    assert (found.epoch, found.selection) == (2, 0.6)
    assert all(torch.equal(final[0][name], kept[1][name]) for name in kept[1])
    assert found.rows == 4 * (150 + 60) + 80


def test_without_patience_the_last_epoch_is_kept(zoo_body: ZooBody, new_tuning: NewTuning, scored: Rows) -> None:
    tuning = new_tuning(zoo_body, RECIPE, held_out=True)
    scores = iter([0.9, 0.1, 0.2])
    tuning._score = lambda model, rows: next(scores)  # type: ignore[method-assign]
    found = run(tuning, zoo_body, scored)
    assert (found.epoch, found.selection) == (3, 0.2)


def test_an_undefined_score_is_the_worst(
    zoo_body: ZooBody, new_tuning: NewTuning, scored: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuning = new_tuning(zoo_body, replace(RECIPE, patience=1), "STS-B", held_out=True)
    monkeypatch.setattr(tuning, "_predict", lambda model, rows: np.ones((len(rows.rows), 1), np.float32))
    assert run(tuning, zoo_body, scored).curve == (-math.inf, -math.inf)


def test_a_loss_that_is_no_number_fails(
    zoo_body: ZooBody, new_tuning: NewTuning, scored: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.nn.functional.cross_entropy", lambda logits, labels: logits.sum() * math.nan)
    with pytest.raises(ValueError, match=r"CoLA seed 1 learning rate 0\.003: the loss became nan"):
        run(new_tuning(zoo_body), zoo_body, scored)


def test_a_prediction_that_is_no_number_fails(zoo_body: ZooBody, new_tuning: NewTuning, scored: Rows) -> None:
    tuning = new_tuning(zoo_body)
    model = Classifier(zoo_body.network(), 16, 2, 0.1)
    nn.init.constant_(model.head.bias, math.nan)
    with pytest.raises(ValueError, match="no finite number"):
        tuning._predict(model, TokenizedRows.of(scored, zoo_body, 24))


def test_mixed_precision_computes_in_bfloat16(
    zoo_body: ZooBody, new_tuning: NewTuning, make_rows: Callable[..., Rows], scored: Rows
) -> None:
    train = TokenizedRows.of(make_rows(150), zoo_body, 24)
    half = FineTuning(zoo_body, SPECS["CoLA"], RECIPE, train, None, CPU, "bf16-mixed")
    found = run(half, zoo_body, scored).logits["validation"]
    exact = run(new_tuning(zoo_body), zoo_body, scored).logits["validation"]
    assert found.dtype == np.float32
    assert not np.allclose(found, exact, atol=1e-4)
    assert main_score(SPECS["CoLA"], scored.labels, found) > 0.9
