"""The configuration parser: its errors name the key and the nearest valid one, and nothing is dropped in silence."""

from __future__ import annotations

import ast
import difflib
import inspect
import logging
import re
import sys
from dataclasses import asdict, is_dataclass
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
        super().__init__(*args, **kwargs, allow_abbrev=False)
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
        own = [option for action in self._actions for option in action.option_strings if option.startswith("--")]
        choices = [action.choices for action in self._actions if isinstance(action.choices, dict)]
        commands = [parser for group in choices for parser in group.values() if isinstance(parser, ConfigParser)]
        return own + [option for parser in commands for option in parser._option_names()]


def explain(message: str, options: list[str]) -> str:
    """What a parser error means, in one line.

    Args:
        message: of jsonargparse.
        options: the names of the parser's own options.
    """
    if found := re.search(r"unrecognized arguments: (\S+)", message):
        return _unknown_option(found[1].partition("=")[0], options)
    if found := re.search(r"arguments are required: (?:\w+\.)?(model|data)", message):
        example = {"model": "MaskedLM", "data": "PydocCorpus"}[found[1]]
        return f"nothing says which {found[1]} to use: give --{found[1]} {example}, or a --config that has one"
    if found := re.search(r"File does not exist: '([^']+)'", message):
        return f"{found[1]} does not exist (see `zoo list configs` for those that come with the project)"
    if message.startswith("Problems parsing config"):
        return f"a configuration is no valid YAML: {' '.join(message.partition(':')[2].split())}"
    if found := re.search(r"does not accept option '([^']+)'", message):
        return f"unknown key {found[1]}{_nearest(found[1], [o.removeprefix('--') for o in options])}"
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
    from zoo.cli.listing import AXES, scan_variants

    keys = re.findall(r'Parser key "([\w.]+)"', message)
    where = f" for {keys[-1]}" if keys else ""
    variants = scan_variants()
    axes = [axis for axis, (_, place, _) in AXES.items() if keys and place.endswith(keys[-1].rpartition(".")[2])]
    known = [variant.name for axis in axes or variants for variant in variants[axis]]
    return f"no class {name}{where}{_nearest(name, known)} (see `zoo list variants`, or give an import path)"


def _nearest(name: str, known: list[str]) -> str:
    exact = {k.lower(): k for k in known}
    begins = [k for k in exact if k.startswith(name.lower())]
    close = begins or difflib.get_close_matches(name.lower(), list(exact), n=1, cutoff=0.5)
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
    if not key or text.startswith(f"{key}:"):
        return text
    # the text of an inner parser begins with its own key
    return f"{key}.{text}" if re.match(r"[\w.]+: ", text) else f"{key}: {text}"


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
    """The values of a printed dictionary of arguments that differ from the defaults of the class."""
    try:
        values: dict[str, Any] = ast.literal_eval(_NamespaceAsDict().visit(ast.parse(discarded, mode="eval")))
    except (ValueError, SyntaxError):  # holds objects that have no literal form: name them all
        return {"arguments": discarded}
    module, _, name = class_path.rpartition(".")
    parameters = inspect.signature(getattr(import_module(module), name)).parameters
    return {k: v for k, v in values.items() if k not in parameters or not _is_default(v, parameters[k].default)}


def _is_default(value: Any, default: Any) -> bool:
    if isinstance(value, dict) and isinstance(default, type):
        path = str(value.get("class_path", ""))
        inner = repr(value.get("init_args") or {})
        return path.rpartition(".")[2] == default.__name__ and not _not_default(path, inner)
    if is_dataclass(default) and not isinstance(default, type):
        return bool(value == asdict(default))
    return bool(value == default)


class _NamespaceAsDict(ast.NodeTransformer):
    """`Namespace(a=1)`, as jsonargparse prints nested arguments, to `{'a': 1}`."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Replace one call."""
        self.generic_visit(node)
        if not isinstance(node.func, ast.Name) or node.func.id != "Namespace":
            return node
        return ast.Dict([ast.Constant(k.arg) for k in node.keywords], [k.value for k in node.keywords])
