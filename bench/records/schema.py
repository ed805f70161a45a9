"""Decoded JSON into dataclasses, strictly: every key, every type. Standard library only."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal


@functools.cache
def _fields(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def parse(kind: Any, value: Any, where: str = "") -> Any:
    """Turn decoded JSON into `kind`: a dataclass, or a type that may annotate a field of one.

    Args:
        kind: dataclass, `str`, `int`, `float`, `bool`, `Any`, `Literal`, `tuple[X, ...]`, `Mapping[str, X]` or
            `X | None`.
        value: what `json.loads` gave.
        where: path of the value in its document, for messages.

    Returns:
        An instance of `kind`.

    Raises:
        ValueError: naming the first place that does not fit.

    Example:
        >>> parse(tuple[int, ...], [1, "2"], "sizes")
        Traceback (most recent call last):
        ValueError: sizes[1] must be int, got '2'
    """
    if dataclasses.is_dataclass(kind):
        return _parse_dataclass(typing.cast(type, kind), value, where)
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:
        return None if value is None else parse(args[0], value, where)
    if origin is Literal:
        fits, form = value in args, " or ".join(args)
    elif origin is tuple:
        fits, form = isinstance(value, list), "a list"
    elif origin is Mapping:
        fits, form = isinstance(value, dict), "an object"
    else:
        accepted = (int, float) if kind is float else kind
        fits = kind is Any or (isinstance(value, accepted) and (kind is bool or not isinstance(value, bool)))
        form = getattr(kind, "__name__", str(kind))
    if not fits:
        raise ValueError(f"{where} must be {form}, got {value!r}")
    if origin is tuple:
        return tuple(parse(args[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is Mapping:
        return {key: parse(args[1], item, f"{where}.{key}") for key, item in value.items()}
    return value


def _parse_dataclass(cls: type, value: Any, where: str) -> Any:
    hints = _fields(cls)
    if not isinstance(value, dict) or value.keys() != hints.keys():
        found = sorted(value) if isinstance(value, dict) else value
        raise ValueError(f"{where or 'the record'} must have exactly the keys {sorted(hints)}, got {found}")
    return cls(**{name: parse(hint, value[name], f"{where}.{name}".lstrip(".")) for name, hint in hints.items()})
