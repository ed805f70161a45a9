"""`zoo bench explain`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from bench.models.opening import PRECISIONS

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bench.explain import Explanation, Reading

_FIRST, _LAST = 24, 4
_SHOWN = 200


def add(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the arguments of `zoo bench explain`."""
    parser.add_argument("--model", required=True, metavar="M", help="as for `zoo bench run`")
    parser.add_argument(
        "--texts", nargs="+", action="extend", metavar="T", help="texts to follow (default: three of different kinds)"
    )
    parser.add_argument("--task", metavar="NAME", help="task of mteb whose prompts are shown")
    parser.add_argument("--device", help="such as cpu or cuda (default: the best there is)")
    parser.add_argument("--precision", default=PRECISIONS[0], choices=PRECISIONS, help="default: %(default)s")
    parser.set_defaults(handler=explain)


def explain(args: argparse.Namespace) -> int:
    """Print what a model does with a few texts; 0."""
    from rich.console import Console

    from bench import explain as explaining
    from bench.models.opening import open_model, split_label

    _, source = split_label(args.model)
    model = open_model(source, device=args.device, precision=args.precision)
    Console().print(render(explaining.explain(model, args.texts, args.task)))
    return 0


def render(explanation: Explanation) -> RenderableType:
    """The explanation for a terminal of any width."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    parts: list[RenderableType] = [_model(explanation)]
    texts = dict.fromkeys(reading.text for reading in explanation.readings)
    for text in texts:
        parts.append(Text(f'"{_short(text)}"', style="bold"))
        of_text = [reading for reading in explanation.readings if reading.text == text]
        parts += [Padding(_reading(reading), (0, 0, 1, 2)) for reading in of_text]
    return Group(*parts)


def _model(explanation: Explanation) -> RenderableType:
    info = explanation.info
    prompts = ", ".join(f"{name} {prompt!r}" for name, prompt in info.prompts.items()) or "none"
    facts = {
        "model": f"{info.name} ({info.kind})",
        "revision": f"{info.revision[:12]} = hash of {', '.join(f'{k} {_value(v)}' for k, v in info.parts.items())}",
        "dtype": info.dtype,
        "prompts": prompts,
    }
    if info.max_length is not None:
        facts["reads"] = f"at most {info.max_length} pieces, special ones included"
    return _grid({**facts, **explanation.facts})


def _reading(reading: Reading) -> RenderableType:
    facts = {"as": ", ".join(reading.sides), "prompt": repr(reading.prompt) if reading.prompt else "none"}
    if reading.pieces is None:
        facts["pieces"] = "cut by a module of its own"
    else:
        lost = f"; {reading.lost} LOST" if reading.lost else ""
        facts["pieces"] = f"{len(reading.pieces)}{lost}: {_pieces(reading.pieces)}"
    return _grid({**facts, "pooled": reading.pooled, "result": reading.result})


def _grid(facts: dict[str, str]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in facts.items():
        grid.add_row(name, Text(value))
    return grid


def _pieces(pieces: tuple[str, ...]) -> str:
    if len(pieces) <= _FIRST + _LAST:
        return " ".join(pieces)
    left_out = len(pieces) - _FIRST - _LAST
    return f"{' '.join(pieces[:_FIRST])} ... {left_out} more ... {' '.join(pieces[-_LAST:])}"


def _value(value: str) -> str:
    return value[:8] if len(value) == 64 else value


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ... ({len(text)} characters)"
