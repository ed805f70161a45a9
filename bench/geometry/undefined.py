"""What a measure raises where it has no value."""

from __future__ import annotations

from collections.abc import Callable, Mapping


class UndefinedError(ValueError):
    """A measure has no value for these vectors; its text is the reason."""


def evaluate(measures: Mapping[str, Callable[[], float]]) -> tuple[dict[str, float], dict[str, str]]:
    """The values of `measures` by name, and the reasons of those that have none.

    >>> def undefined():
    ...     raise UndefinedError("one row")
    >>> evaluate({"a": lambda: 1.0, "b": undefined})
    ({'a': 1.0}, {'b': 'one row'})
    """
    values: dict[str, float] = {}
    absent: dict[str, str] = {}
    for name, measure in measures.items():
        try:
            values[name] = measure()
        except UndefinedError as reason:
            absent[name] = str(reason)
    return values, absent
