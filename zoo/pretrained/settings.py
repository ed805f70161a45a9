"""Values of a config.json, checked."""

from __future__ import annotations

from collections.abc import Mapping

from zoo.contracts import JsonDict


def size(config: JsonDict, key: str, default: int | None = None) -> int:
    """The whole number at `key`.

    Raises:
        ValueError: if it is none, or missing without a default.
    """
    value = config.get(key, default)
    if not isinstance(value, int):
        raise ValueError(f"config.json says {value!r} of {key}, which must be a whole number")
    return value


def number(config: JsonDict, key: str, default: float) -> float:
    """The number at `key`.

    Raises:
        ValueError: if it is none.
    """
    value = config.get(key, default)
    if not isinstance(value, int | float):
        raise ValueError(f"config.json says {value!r} of {key}, which must be a number")
    return float(value)


def flag(config: JsonDict, key: str, default: bool) -> bool:
    """Whether `key` is set.

    Raises:
        ValueError: if it is neither true nor false.
    """
    value = config.get(key, default)
    if not isinstance(value, bool):
        raise ValueError(f"config.json says {value!r} of {key}, which must be true or false")
    return value


def choice(config: JsonDict, key: str, default: str, options: Mapping[str, str]) -> str:
    """What `options` has for the value at `key`.

    Raises:
        ValueError: if it has nothing for it.
    """
    value = config.get(key, default)
    if not isinstance(value, str) or value not in options:
        readable = " and ".join(repr(option) for option in options)
        raise ValueError(f"{key} {value!r} has no counterpart here: only {readable} can be read")
    return options[value]


def expect(config: JsonDict, expected: Mapping[str, object]) -> None:
    """Refuse another value of a key of `expected` than the one there; null is as good as false.

    Raises:
        ValueError: if there is one.
    """
    for key, value in expected.items():
        found = config.get(key, value)
        if found != value and not (found is None and value is False):
            raise ValueError(f"{key} {found!r} has no counterpart here: only {value!r} can be read")


def rotary_base(parameters: object, default: float) -> float:
    """The base of rotary positions, from what transformers 5 calls `rope_parameters`.

    Args:
        parameters: the value in config.json; None if it has none.
        default: where `parameters` has no `rope_theta`.

    Raises:
        ValueError: if the angles are scaled, or those of a part of each head.
    """
    if parameters is None:
        return default
    if not isinstance(parameters, dict):
        raise ValueError(f"config.json says {parameters!r} of rope_parameters, which must be an object")
    expect(parameters, {"rope_type": "default", "type": "default", "partial_rotary_factor": 1.0})
    return number(parameters, "rope_theta", default)
