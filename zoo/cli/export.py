"""`zoo export`: a trained encoder as a folder that loads elsewhere."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `zoo export`."""
    parser = commands.add_parser("export", help="write a run as a folder that loads elsewhere")
    parser.add_argument("run", metavar="RUN", help="run folder or checkpoint file")
    parser.add_argument("--to", required=True, choices=("sentence-transformers", "transformers"), help="who loads it")
    parser.add_argument("-o", "--out", required=True, type=Path, metavar="DIR", help="the new folder")
    parser.set_defaults(handler=_export)


def _export(options: argparse.Namespace) -> int:
    from zoo.export import export_run

    model_type = export_run(options.run, options.to, options.out)
    sys.stdout.write(f"{options.out}: {model_type} for {options.to}\n")
    return 0
