from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from bench.records.schema import parse


@dataclass(frozen=True)
class Inner:
    count: int


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner | None
    sizes: tuple[float, ...]
    kind: Literal["a", "b"]
    anything: Mapping[str, Any]
    flag: bool


GOOD: dict[str, Any] = {
    "name": "x",
    "inner": {"count": 1},
    "sizes": [1, 2.5],
    "kind": "a",
    "anything": {"k": [1, None]},
    "flag": True,
}


def test_a_fitting_document_becomes_dataclasses() -> None:
    assert parse(Outer, GOOD) == Outer("x", Inner(1), (1, 2.5), "a", {"k": [1, None]}, True)
    assert parse(Outer, {**GOOD, "inner": None}).inner is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": 1}, "name must be str, got 1"),
        ({"inner": {"count": "1"}}, "inner.count must be int"),
        ({"inner": {"count": True}}, "inner.count must be int"),
        ({"inner": {"count": 1.0}}, "inner.count must be int"),
        ({"sizes": [1, "2"]}, r"sizes\[1\] must be float"),
        ({"sizes": {}}, "sizes must be a list"),
        ({"kind": "c"}, "kind must be a or b"),
        ({"anything": []}, "anything must be an object"),
        ({"flag": 1}, "flag must be bool"),
        ({"extra": 1}, "exactly the keys"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(Outer, {**GOOD, **change})
