"""What `zoo mine` and `zoo filter` are told alike: pairs in, a model that judges them, a folder out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the source, the teacher and the output folder."""
    parser.add_argument("source", metavar="SOURCE", help="pairs: jsonl, csv, tsv or parquet file, folder, or hub name")
    parser.add_argument("--query", default="query", metavar="COLUMN", help="default: %(default)s")
    parser.add_argument("--document", default="document", metavar="COLUMN", help="default: %(default)s")
    parser.add_argument("--config", metavar="NAME", help="configuration of a hub data set")
    model = "teacher: run folder, .ckpt file, or folder or hub name of sentence-transformers"
    parser.add_argument("--model", required=True, metavar="M", help=model)
    parser.add_argument("-o", "--out", required=True, type=Path, metavar="DIR", help="the new folder")
    parser.add_argument("--device", metavar="NAME", help="such as cpu or cuda; default: the best there is")
    parser.add_argument("--precision", default="32-true", metavar="P", help="of the teacher; default: %(default)s")


def source_of(options: argparse.Namespace) -> dict[str, Any]:
    """Arguments of the `PairSource` that the options name."""
    return {
        "path": options.source,
        "query": options.query,
        "document": options.document,
        "config": options.config,
    }


def report(out: Path, facts: dict[str, Any]) -> None:
    """Say how many pairs there are.

    Args:
        out: the new folder.
        facts: what stands in its `pairs.json`.
    """
    counts = facts["pairs"]["train"]
    sys.stdout.write(f"{out}: {counts['written']} of {counts['read']} training pairs\n")
