"""Entry point: finds the command and imports only what it needs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

TRAINING_COMMANDS = {
    "fit": "train a model",
    "validate": "score a checkpoint on the validation split",
    "test": "score a checkpoint on the test split",
    "predict": "write a checkpoint's outputs for the test split",
}

_EPILOG = """examples:
  zoo quickstart                                      everything in one go, on an embedded corpus
  zoo fit --model MaskedLM --data PydocCorpus         train with the defaults
  zoo fit --config recipes/masked_lm_small.yaml       train from a file
  zoo fit --model Contrastive --help                  what can be set
  zoo adapt runs/NAME --embedding SubspaceEmbedding   go on with another vocabulary table
  zoo upcycle runs/NAME --experts 8                   go on with mixtures of experts
  zoo bench run --model runs/NAME --suite pydoc       score a run
  zoo compare tied full                               is the difference more than chance?
  zoo leaderboard build --results results --out site  a page of all results
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser of everything but the training commands, whose options Lightning's parser knows."""
    import bench.cli
    import leaderboard.cli
    from zoo.cli import adapt, doctor, export, filtering, generate, listing, mine, quickstart, upcycle

    parser = argparse.ArgumentParser(
        prog="zoo",
        description="Train, score and compare ways of building the vocabulary side and the body of text models.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print versions and exit")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, text in (TRAINING_COMMANDS | {"adapt": adapt.HELP, "upcycle": upcycle.HELP}).items():
        commands.add_parser(name, help=text, add_help=False)
    for module in (quickstart, listing, bench.cli, leaderboard.cli, mine, filtering, export, generate, doctor):
        module.register(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 1 for a failure, 2 for wrong usage, 130 for Ctrl-C."""
    argv = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in argv or bool(os.environ.get("ZOO_DEBUG"))
    argv = [a for a in argv if a != "--debug"]
    try:
        return _dispatch(argv)
    except KeyboardInterrupt:
        return _say("interrupted: what was finished is kept, run the same command again to go on", 130)
    except BrokenPipeError:
        # the reader of our output went away (`zoo list | head`): not an error, but Python must not flush again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if debug:
            raise
        return _say(_one_line(error), 1)


def _dispatch(argv: list[str]) -> int:
    argv = training_command_first(argv)
    if argv and argv[0] in TRAINING_COMMANDS:
        from zoo.cli.train import train

        return train(argv)
    if argv and argv[0] == "adapt":
        from zoo.cli.adapt import adapt

        return adapt(argv[1:])
    if argv and argv[0] == "upcycle":
        from zoo.cli.upcycle import upcycle

        return upcycle(argv[1:])
    parser = build_parser()
    options = parser.parse_args(argv)
    if options.version:
        from zoo import __version__

        sys.stdout.write(f"zoo {__version__}\n")
        return 0
    if options.command is None:
        parser.print_help()
        return 2
    handler: Callable[[argparse.Namespace], int] = options.handler
    return handler(options)


def training_command_first(argv: list[str]) -> list[str]:
    """`-c FILE fit` means `fit -c FILE`; options before the command would be lost otherwise.

    Example:
        >>> training_command_first(["-c", "x.yaml", "fit"])
        ['fit', '-c', 'x.yaml']
    """
    if not argv or argv[0] not in ("-c", "--config"):
        return argv
    for place, word in enumerate(argv[2:], start=2):
        if word in TRAINING_COMMANDS:
            return [word, *argv[:place], *argv[place + 1 :]]
    return argv


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if text.startswith(
        "Does not validate"
    ):  # a class of the configuration refused its arguments; a union says so at length
        from zoo.cli.parser import explain

        return explain(str(error), [])
    if isinstance(error, OSError | ValueError):
        return text
    return f"{type(error).__name__}: {text} (run again with --debug for the traceback)"


def _say(message: str, status: int) -> int:
    sys.stderr.write(f"zoo: {'error: ' if status != 130 else ''}{message}\n")
    return status
