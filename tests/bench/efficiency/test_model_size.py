from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from bench.efficiency import model_size
from bench.protocols import NotApplicableError


def test_parts_are_recorded_and_add_up(new_slow_encoder: Callable[..., Any]) -> None:
    class WithParts(new_slow_encoder):  # type: ignore[misc, valid-type]
        def bytes_by_part(self) -> Mapping[str, int]:
            return {"embedding": 600, "encoder": 300, "head": 0, "rest": 100}

    scores = model_size.measure(WithParts(), (), "cpu").scores
    assert scores.main == pytest.approx(0.001)
    assert scores.all["embedding_bytes"] == 600
    assert scores.all["bytes"] == 1000
    assert scores.absent == {}


def test_unknown_parts_have_a_reason_and_no_number(new_slow_encoder: Callable[..., Any]) -> None:
    scores = model_size.measure(new_slow_encoder(), (), "cpu").scores
    assert scores.all["bytes"] == 1000
    assert set(scores.absent) == {"embedding_bytes", "encoder_bytes", "head_bytes", "rest_bytes"}


def test_wrong_parts_are_refused(new_slow_encoder: Callable[..., Any]) -> None:
    class Wrong(new_slow_encoder):  # type: ignore[misc, valid-type]
        def bytes_by_part(self) -> Mapping[str, int]:
            return {"table": 1}

    with pytest.raises(ValueError, match="table"):
        model_size.measure(Wrong(), (), "cpu")


def test_a_model_of_unknown_size_gives_no_number(new_slow_encoder: Callable[..., Any]) -> None:
    with pytest.raises(NotApplicableError, match="bytes"):
        model_size.measure(new_slow_encoder(size=None), (), "cpu")
