"""Training gives the numbers that it gave before: whatever changes them must mean to."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# a vocabulary as small as this is no place for a factored table
pytestmark = pytest.mark.filterwarnings("ignore:V = 45 is below 3 D = 48:UserWarning")

FOLDER = Path(__file__).resolve().parent
NAMES = sorted(path.stem for path in FOLDER.glob("*.txt"))


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(FOLDER / "make.py"))


def test_every_variant_has_a_file(script: dict[str, Any]) -> None:
    assert sorted(script["VARIANTS"]) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_losses_are_those_of_before(name: str, script: dict[str, Any], golden_tolerance: float) -> None:
    losses: Callable[[str], list[float]] = script["losses"]
    expected = [float(line) for line in (FOLDER / f"{name}.txt").read_text(encoding="utf-8").split()]
    found = losses(name)
    assert found == pytest.approx(expected, rel=golden_tolerance)
    assert sum(found[-5:]) < sum(found[:5]), "nothing is learned"
