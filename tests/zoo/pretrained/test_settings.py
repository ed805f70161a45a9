from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from zoo.pretrained.settings import choice, expect, flag, number, rotary_base, size


def test_what_is_missing_has_its_default() -> None:
    assert (size({}, "n", 3), number({}, "x", 2.0), flag({}, "b", True)) == (3, 2.0, True)
    assert choice({}, "act", "silu", {"silu": "SwiGLU"}) == "SwiGLU"
    assert rotary_base(None, 7.0) == rotary_base({"rope_type": "default"}, 7.0) == 7.0
    assert rotary_base({"rope_theta": 5}, 7.0) == 5.0
    expect({}, {"causal": False})


@pytest.mark.parametrize(("value", "expected"), [(False, False), (None, False), (None, None), (1.0, 1), (0, False)])
def test_null_is_as_good_as_false(value: object, expected: object) -> None:
    expect({"key": value}, {"key": expected})


@pytest.mark.parametrize(("value", "expected"), [(True, False), (None, "gelu"), (2, None), (None, True), (0.5, 1)])
def test_another_value_is_refused(value: object, expected: object) -> None:
    with pytest.raises(ValueError, match=f"^key {value!r} has no counterpart here: only {expected!r} can be read$"):
        expect({"key": value}, {"key": expected})


@pytest.mark.parametrize(
    ("read", "value", "message"),
    [
        (lambda config: size(config, "key"), 1.5, "says 1.5 of key, which must be a whole number"),
        (lambda config: number(config, "key", 1.0), "x", "says 'x' of key, which must be a number"),
        (lambda config: flag(config, "key", True), 1, "says 1 of key, which must be true or false"),
        (lambda config: choice(config, "key", "a", {"a": "A", "b": "B"}), ["a"], "only 'a' and 'b' can be read"),
        (lambda config: rotary_base(config["key"], 1.0), {"type": "linear"}, "type 'linear' has no counterpart"),
    ],
)
def test_what_is_no_such_value_is_named(read: Callable[[Any], object], value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read({"key": value})
