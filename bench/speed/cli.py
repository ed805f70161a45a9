"""`zoo bench speed`: what is measured against other libraries or a limit, printed."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from bench.models.opening import PRECISIONS
from bench.speed import handlers

_BOTH = ("32-true", "bf16-mixed")


def add_speed(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the measurements of `zoo bench speed` and their arguments."""
    commands = parser.add_subparsers(title="measurements", required=True, metavar="WHAT")
    training = commands.add_parser("training", help="MaskedLM training against transformers")
    _add_common(training, handlers.training, rounds=5, precisions=_BOTH)
    training.add_argument("--vocabulary", type=int, default=8192, metavar="V", help="default: %(default)s")
    encoding = commands.add_parser("encoding", help="encoding texts against sentence-transformers")
    _add_common(encoding, handlers.encoding, rounds=5, precisions=_BOTH)
    encoding.add_argument("--vocabulary", type=int, default=8192, metavar="V", help="default: %(default)s")
    encoding.add_argument("--texts", type=int, default=10_000, metavar="N", help="default: %(default)s")
    memory = commands.add_parser("memory", help="memory of a training step with a large vocabulary")
    _add_common(memory, handlers.memory)
    memory.add_argument("--vocabulary", type=int, default=50_000, metavar="V", help="default: %(default)s")
    optimizer = commands.add_parser("optimizer", help="CoupledAdamW on a vocabulary table and in training")
    _add_common(optimizer, handlers.optimizer, rounds=5)
    optimizer.add_argument("--vocabulary", type=int, default=50_304, metavar="V", help="default: %(default)s")
    optimizer.add_argument("--width", type=int, default=768, metavar="H", help="default: %(default)s")
    optimizer.add_argument("--device", default="cpu", metavar="D", help="default: %(default)s")
    subspace = commands.add_parser("subspace", help="a subspace table against a full one: loss, look-up, memory")
    _add_common(subspace, handlers.subspace, rounds=5)
    augmented = commands.add_parser("augmented", help="the augmented loss against the plain softmax")
    _add_common(augmented, handlers.augmented, rounds=5)
    moe = commands.add_parser("moe", help="a mixture of experts against a dense layer of equal active size")
    _add_common(moe, handlers.moe, rounds=5, precisions=_BOTH)
    moe.add_argument("--tokens", type=int, default=4096, metavar="T", help="default: %(default)s")
    moe.add_argument("--device", default="cpu", metavar="D", help="default: %(default)s")
    pairs = commands.add_parser("contrastive", help="contrastive steps: packed against padded, GradCache against none")
    _add_common(pairs, handlers.contrastive, rounds=5, precisions=_BOTH)
    chosen = ("packed", "chunks", "memory")
    pairs.add_argument("--parts", nargs="+", default=chosen, choices=chosen, help=f"default: {' '.join(chosen)}")
    pairs.add_argument("--pairs", type=int, default=16_384, metavar="N", help="of the memory (default: %(default)s)")
    sparse = commands.add_parser("sparse-target", help="the exact step of a factored output table against whole tables")
    _add_common(sparse, handlers.sparse_target, rounds=3, threads=(1, 2))
    parts = ("step", "growth", "training", "memory")
    sparse.add_argument("--parts", nargs="+", default=parts, choices=parts, help=f"default: {' '.join(parts)}")
    _add_suite(commands.add_parser("suite", help="a suite of tasks against mteb.evaluate with sentence-transformers"))
    _add_search(commands.add_parser("search", help="a search over many documents under a cap on memory"))
    status = commands.add_parser("status", help="start of `zoo bench status` in a folder of many records")
    _add_common(status, handlers.status, rounds=5)
    status.add_argument("--records", type=int, default=10_000, metavar="N", help="default: %(default)s")


def _add_common(
    parser: argparse.ArgumentParser,
    handler: Callable[[argparse.Namespace], int],
    *,
    rounds: int | None = None,
    precisions: tuple[str, ...] = (),
    threads: tuple[int, ...] = (),
) -> None:
    """Arguments that most measurements share; with `threads`, each is taken at several numbers of them."""
    shown = " ".join(map(str, threads)) or "%(default)s"
    parser.add_argument(
        "--threads",
        type=int,
        default=threads or 2,
        nargs="+" if threads else None,
        metavar="N",
        help=f"CPU threads (default: {shown})",
    )
    if rounds is not None:
        parser.add_argument(
            "--rounds", type=int, default=rounds, metavar="N", help="counted rounds (default: %(default)s)"
        )
    if precisions:
        given = list(precisions)
        parser.add_argument("--precision", nargs="+", default=given, choices=_BOTH, help=f"default: {' '.join(given)}")
    parser.set_defaults(handler=handler)


def _add_suite(parser: argparse.ArgumentParser) -> None:
    _add_common(parser, handlers.suite, rounds=3)
    parser.add_argument("--model", required=True, metavar="M", help="sentence-transformers folder or hub name")
    parser.add_argument(
        "--tasks", nargs="+", metavar="NAME", help="TASK, TASK[subset,subset], TASK@split (default: six small ones)"
    )
    parser.add_argument(
        "--precision", default="32-true", choices=PRECISIONS, help="of ours; theirs is float32 (default: %(default)s)"
    )
    parser.add_argument("--autocast", action="store_true", help="run sentence-transformers in bfloat16 autocast too")


def _add_search(parser: argparse.ArgumentParser) -> None:
    _add_common(parser, handlers.search)
    parser.add_argument("--documents", type=int, default=200_000, metavar="N", help="default: %(default)s")
    parser.add_argument("--queries", type=int, default=500, metavar="N", help="default: %(default)s")
    parser.add_argument("--memory", default="2G", metavar="SIZE", help="cap, such as 512M or 2G (default: %(default)s)")
