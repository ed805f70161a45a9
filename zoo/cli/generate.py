"""`zoo generate`: text drawn from a causal language model."""

from __future__ import annotations

import argparse
import sys


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `zoo generate`."""
    parser = commands.add_parser(
        "generate",
        help="let a causal language model write",
        description="Draw text from a trained CausalLM, token by token, from all tokens of its vocabulary.",
    )
    parser.add_argument("run", metavar="RUN", help="run folder or checkpoint")
    parser.add_argument("--prompt", default="", metavar="TEXT", help="how the text begins")
    parser.add_argument("--tokens", type=int, default=50, metavar="N", help="most tokens drawn; default: %(default)s")
    parser.add_argument(
        "--temperature", type=float, default=1.0, metavar="T", help="below 1: more likely tokens; default: %(default)s"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: %(default)s")
    parser.add_argument("--device", default="auto", metavar="NAME", help="default: an accelerator, or the CPU")
    parser.set_defaults(handler=_generate)


def _generate(options: argparse.Namespace) -> int:
    from zoo import checkpoint
    from zoo.encode import choose_device
    from zoo.generate import generate

    objective = checkpoint.load(options.run).to(choose_device(options.device))
    text = generate(objective, options.prompt, options.tokens, temperature=options.temperature, seed=options.seed)
    sys.stdout.write(text + "\n")
    return 0
