from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.optim import SGD

from zoo.optim.schedule import Schedule

STEPS = 50


def make(schedule_class: Callable[..., Schedule]) -> tuple[SGD, Schedule]:
    optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    return optimizer, schedule_class(optimizer, STEPS)


def advance(optimizer: SGD, schedule: Schedule, steps: int) -> list[float]:
    rates = []
    for _ in range(steps):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        schedule.step()
    return rates


def test_rates_stay_between_zero_and_the_peak(schedule_class: Callable[..., Schedule]) -> None:
    optimizer, schedule = make(schedule_class)
    rates = advance(optimizer, schedule, STEPS)
    assert max(rates) == 2.0
    assert min(rates) > 0
    assert rates[-1] < 2.0
    assert (rates[0] < 2.0) == (schedule.warmup_steps > 0)


def test_goes_on_from_its_state(schedule_class: Callable[..., Schedule]) -> None:
    whole = advance(*make(schedule_class), STEPS)
    optimizer, schedule = make(schedule_class)
    advance(optimizer, schedule, 20)
    state: Any = schedule.state_dict()
    again_optimizer, again = make(schedule_class)
    again_optimizer.load_state_dict(optimizer.state_dict())
    again.load_state_dict(state)
    assert advance(again_optimizer, again, STEPS - 20) == whole[20:]
