from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim import AdamW

from zoo.optim import EpochDecay, WarmupCosine, WarmupLinear, WarmupStableDecay
from zoo.optim.schedule import Schedule

PEAK, STEPS, WARMUP, FINAL = 0.1, 100, 10, 0.2
Make = Callable[..., Schedule]


def rates(make: Make, **options: float) -> list[float]:
    """The learning rate that each step is made with, and the one after the last."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = AdamW([parameter], lr=PEAK)
    schedule = make(optimizer, STEPS, **options)
    found = []
    for _ in range(STEPS + 1):
        found.append(optimizer.param_groups[0]["lr"] / PEAK)
        optimizer.step()
        schedule.step()
    return found


@pytest.mark.parametrize("make", [WarmupCosine, WarmupLinear, WarmupStableDecay])
@pytest.mark.parametrize("warmup", [float(WARMUP), WARMUP / STEPS])
def test_start_peak_and_end(make: Make, warmup: float) -> None:
    found = rates(make, warmup=warmup, final=FINAL)
    assert found[:WARMUP] == pytest.approx([(i + 1) / WARMUP for i in range(WARMUP)])
    assert found[WARMUP] == pytest.approx(1.0)
    assert found[STEPS] == pytest.approx(FINAL)
    assert all(later <= earlier + 1e-12 for earlier, later in zip(found[WARMUP:], found[WARMUP + 1 :], strict=False))


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (WarmupCosine, lambda p: (1 + math.cos(math.pi * p)) / 2),
        (WarmupLinear, lambda p: 1 - p),
        (WarmupStableDecay, lambda p: min(1.0, (1 - p) / 0.2)),
    ],
)
def test_shape_after_the_warmup(make: Make, shape: Callable[[float], float]) -> None:
    found = rates(make, warmup=float(WARMUP), final=FINAL)
    expected = [FINAL + (1 - FINAL) * shape(step / (STEPS - WARMUP)) for step in range(STEPS - WARMUP + 1)]
    assert found[WARMUP:] == pytest.approx(expected)


def test_no_warmup_begins_at_the_peak() -> None:
    assert rates(WarmupCosine, warmup=0.0)[0] == 1.0


def test_stays_at_the_end_after_the_last_step() -> None:
    schedule = WarmupLinear(AdamW([torch.nn.Parameter(torch.zeros(1))]), 10, warmup=0.0, final=0.1)
    assert schedule.factor(1000) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"total_steps": 0}, "at least one step, not 0: set trainer.max_steps"),
        ({"total_steps": 10, "warmup": 11.0}, "warmup of 11 steps does not fit in a run of 10"),
        ({"total_steps": 10, "warmup": -1.0}, "warmup of -10 steps does not fit"),
        ({"total_steps": 10, "decay": 0.0}, r"decay must lie in \(0, 1\], not 0.0"),
        ({"total_steps": 10, "decay": 1.5}, r"decay must lie in \(0, 1\], not 1.5"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WarmupStableDecay(AdamW([torch.nn.Parameter(torch.zeros(1))]), **options)  # type: ignore[arg-type]


def test_epochs_decay_after_the_constant_ones() -> None:
    found = rates(EpochDecay, epochs=10, constant_epochs=3, factor=0.5)
    expected = [0.5 ** max(0, step // 10 - 2) for step in range(STEPS + 1)]
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("epochs", range(1, 60))
def test_an_epoch_begins_where_the_data_begins_anew(epochs: int) -> None:
    optimizer = AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = EpochDecay(optimizer, 2984 * epochs, epochs, constant_epochs=1, factor=0.9)
    for epoch in range(1, epochs):
        assert schedule.factor(2984 * epoch - 1) == pytest.approx(0.9 ** (epoch - 1))
        assert schedule.factor(2984 * epoch) == pytest.approx(0.9**epoch)


def test_a_run_that_grows_by_epochs_has_the_rates_of_a_long_one() -> None:
    whole = rates(EpochDecay, epochs=10, constant_epochs=2, factor=0.9)
    found, state, rate = [], None, 1.0
    for epochs in range(1, 11):
        optimizer = AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        schedule = EpochDecay(optimizer, 10 * epochs, epochs, constant_epochs=2, factor=0.9)
        if state is not None:
            schedule.load_state_dict(state)
            optimizer.param_groups[0]["lr"] = rate
        for _ in range(10):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
        state, rate = schedule.state_dict(), optimizer.param_groups[0]["lr"]
    assert found == pytest.approx(whole[:STEPS], rel=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs=0 and constant_epochs=5: set both to at least 1"),
        ({"constant_epochs": 0}, "epochs=40 and constant_epochs=0: set both"),
        ({"factor": 0.0}, r"factor must lie in \(0, 1\], not 0.0"),
        ({"factor": 1.1}, r"factor must lie in \(0, 1\], not 1.1"),
    ],
)
def test_epochs_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EpochDecay(AdamW([torch.nn.Parameter(torch.zeros(1))]), STEPS, **options)
