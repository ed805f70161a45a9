"""The configuration parser: its errors name the key and the nearest valid one, and nothing is dropped in silence."""

from __future__ import annotations

import ast
import difflib
import inspect
import logging
import re
import sys
from importlib import import_module
from typing import Any, NoReturn

from lightning.pytorch.cli import LightningArgumentParser

# Lightning offers these at the top level and ignores them in part; here they belong to the model.
_MOVED = {"--optimizer": "--model.optimizer", "--lr_scheduler": "--model.schedule"}


class ConfigError(ValueError):
    """A configuration that cannot be used."""


class ConfigParser(LightningArgumentParser):
    """Lightning's parser, with errors of one line."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # jsonargparse tells of discarded values in its debug log and nowhere else
        self.logger = logging.getLogger("zoo.config")
        self.logger.setLevel(logging.DEBUG)
        self.logger.propagate = False
        if not self.logger.handlers:
            self.logger.addHandler(DroppedValues())

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise `ConfigError` with what is wrong and the nearest valid name."""
        raise ConfigError(explain(message, self._option_names())) from ex

    def _option_names(self) -> list[str]:
        return [option for action in self._actions for option in action.option_strings if option.startswith("--")]


def explain(message: str, options: list[str]) -> str:
    """What a parser error means, in one line.

    Args:
        message: of jsonargparse.
        options: the names of the parser's own options.
    """
    if found := re.search(r"unrecognized arguments: (\S+)", message):
        return _unknown_option(found[1].partition("=")[0], options)
    if found := re.search(r"Option '([^']+)' is not accepted", message):
        return _unknown_key(found[1], message, options)
    if found := re.search(r"Multiple subclasses with name .*", message):
        return found[0]
    if found := re.search(r"Expected a dot import path string: (\S+)", message):
        return _unknown_class(found[1], message)
    return _innermost(message)


def _unknown_option(option: str, options: list[str]) -> str:
    for prefix, place in _MOVED.items():
        if option == prefix or option.startswith(f"{prefix}."):
            return f"unknown option {option}: it is {option.replace(prefix, place, 1)} here"
    return f"unknown option {option}{_nearest(option, options)}"


def _unknown_key(key: str, message: str, options: list[str]) -> str:
    before = message[: message.index(f"Option '{key}'")]
    classes = re.findall(r"class_path '([\w.]+)'", before) + re.findall(rf"class_path='([\w.]+)'.*{key}", message)
    if not classes:
        return f"unknown key {key}{_nearest(key, [o.removeprefix('--') for o in options])}"
    known = _parameters(classes[-1])
    name = classes[-1].rpartition(".")[2]
    return f"{name} has no option '{key}'{_nearest(key, known)} (options: {', '.join(known)})"


def _unknown_class(name: str, message: str) -> str:
    from zoo.cli.listing import scan_variants

    keys = re.findall(r'Parser key "([\w.]+)"', message)
    where = f" for {keys[-1]}" if keys else ""
    known = [variant.name for variants in scan_variants().values() for variant in variants]
    return f"no class {name}{where}{_nearest(name, known)} (see `zoo list variants`, or give an import path)"


def _nearest(name: str, known: list[str]) -> str:
    exact = {k.lower(): k for k in known}
    close = difflib.get_close_matches(name.lower(), list(exact), n=1, cutoff=0.5)
    return f": did you mean {exact[close[0]]}?" if close else ""


def _parameters(class_path: str) -> list[str]:
    module, _, name = class_path.rpartition(".")
    return [p for p in inspect.signature(getattr(import_module(module), name)).parameters if p != "self"]


def _innermost(message: str) -> str:
    """The last line that says a reason, with the key it belongs to."""
    noise = ("Given value", "Errors:", "Subtypes:", "Does not validate", "- Expected a <class 'NoneType'>")
    lines = [line.strip(" -") for line in message.splitlines() if not line.strip().startswith(noise)]
    keys = re.findall(r'Parser key "([\w.]+)"', message)
    reasons = [line for line in lines if line and not line.endswith(":")]
    text = reasons[-1] if reasons else message
    key = ".".join(keys)
    return text if not key or key in text else f"{key}: {text}"


class DroppedValues(logging.Handler):
    """Prints what a change of class drops: values of the old class that the new one does not take."""

    _PATTERN = re.compile(
        r"Due to class_path change from '([\w.]+)' to '([\w.]+)', discarding init_args: (\{.*\})", re.S
    )

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._told: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Print a warning for a discarded value that was not the old class's own default."""
        found = self._PATTERN.search(record.getMessage())
        if found is None or found[0] in self._told:
            return
        self._told.add(found[0])
        old, new = found[1], found[2].rpartition(".")[2]
        for key, value in _not_default(old, found[3]).items():
            name = old.rpartition(".")[2]
            sys.stderr.write(
                f"zoo: warning: {name}.{key} = {value!r} is dropped: {new} replaces {name} and has no {key}\n"
            )


def _not_default(class_path: str, discarded: str) -> dict[str, Any]:
    try:
        values: dict[str, Any] = ast.literal_eval(discarded)
    except (ValueError, SyntaxError):  # holds objects without a literal form, so say it whole
        return {"init_args": discarded}
    module, _, name = class_path.rpartition(".")
    parameters = inspect.signature(getattr(import_module(module), name)).parameters
    return {k: v for k, v in values.items() if k not in parameters or parameters[k].default != v}
