"""`zoo bench verify`."""

from __future__ import annotations

import argparse

from bench.commands.run import add_word_sets, sources_of


def add(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the arguments of `zoo bench verify`."""
    parser.add_argument("record", metavar="RECORD", help="file of a record")
    parser.add_argument("--model", metavar="M", help="where the model lies (default: the hub name in the record)")
    parser.add_argument("--device", help="such as cpu or cuda (default: the best there is)")
    parser.add_argument("--packages", nargs="+", action="extend", metavar="P", help="packages of the embedded corpus")
    parser.add_argument("--bundle", metavar="FILE", help="data of the hub out of this file")
    add_word_sets(parser)
    parser.set_defaults(handler=verify, glue_recipe=None)


def verify(args: argparse.Namespace) -> int:
    """Make a recorded number again; 1 if it does not hold, else 0."""
    from bench import verify as verification

    verdict = verification.verify(args.record, args.model, device=args.device, sources=sources_of(args))
    scores, task = verdict.record.scores, verdict.record.task
    interval = scores.interval
    within = "" if interval is None else f" in [{interval.low:.4f}, {interval.high:.4f}]"
    print(f"{verdict.record.model.name}  {task.name}  {task.metric}")
    print(f"recorded {scores.main:.6f}{within}")
    print(f"now      {verdict.again:.6f}  ({verdict.difference:+.6f})")
    for part in verdict.changed:
        print(f"not what was recorded: the {part}")
    print("holds" if verdict.holds else "does NOT hold")
    return 0 if verdict.holds else 1
