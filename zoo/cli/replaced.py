"""Where a variant replaces the default one, the defaults of the replaced class must not stay.

jsonargparse keeps every value that the new class accepts too, the old class's own defaults among them: SGD would be
given the weight decay of AdamW without a word.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml


def given_keys(words: Sequence[str]) -> set[str]:
    """Keys that the user wrote, in files and on the command line, such as `model.optimizer.lr`.

    Example:
        >>> sorted(given_keys(["fit", "--model.optimizer.init_args.lr=1", "--data", "{init_args: {a: 2}}"]))
        ['data', 'data.a', 'model.optimizer.lr']
    """
    found: set[str] = set()
    options = [word.partition("=") for word in words]
    for place, (option, _, value) in enumerate(options):
        if not option.startswith("-"):
            continue
        text = value or (words[place + 1] if place + 1 < len(words) else "")
        if option in ("-c", "--config"):
            found.update(_keys(yaml.safe_load(Path(text).read_text(encoding="utf-8"))))
        else:
            key = option.lstrip("-").replace("init_args.", "")
            found.add(key)
            found.update(f"{key}.{inner}" for inner in _keys(_inline(text)))
    return found


def _inline(text: str) -> Any:
    try:
        return yaml.safe_load(text) if text.startswith("{") else None
    except yaml.YAMLError:  # a value that is no mapping, whatever it is
        return None


def _keys(content: Any) -> Iterator[str]:
    for key, value in content.items() if isinstance(content, dict) else ():
        inner = list(_keys(value))
        if key == "init_args":
            yield from inner
        else:
            yield str(key)
            yield from (f"{key}.{name}" for name in inner)


def restore_defaults(spec: Any, path: str, given: set[str]) -> None:
    """Set what was left over from replaced default classes to the defaults of the classes that replace them.

    Args:
        spec: parsed `class_path` and `init_args`; changed in place.
        path: its key, such as `model`.
        given: keys that the user wrote; their values stay.
    """
    for name, parameter in _parameters(spec.class_path).items():
        value = spec.init_args.get(name)
        if getattr(value, "class_path", None) is None or "init_args" not in value:
            continue
        key = f"{path}.{name}"
        replaced = parameter.default
        if inspect.isclass(replaced) and replaced is not _import(value.class_path):
            _restore(value, replaced, key, given)
        restore_defaults(value, key, given)


def _restore(value: Any, replaced: type, key: str, given: set[str]) -> None:
    before = inspect.signature(replaced).parameters
    for name, parameter in _parameters(value.class_path).items():
        own = parameter.default
        left_over = name in before and name in value.init_args and value.init_args[name] == before[name].default
        if left_over and own is not parameter.empty and own != before[name].default and f"{key}.{name}" not in given:
            value.init_args[name] = own


def _parameters(class_path: str) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(_import(class_path)).parameters)


def _import(class_path: str) -> Any:
    module, _, name = class_path.rpartition(".")
    return getattr(import_module(module), name)
