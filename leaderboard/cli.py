"""`zoo leaderboard build|serve`."""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leaderboard.build import BuildReport


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `leaderboard`; the parsed arguments carry `handler`, which takes them and returns an exit status."""
    parser = subparsers.add_parser("leaderboard", help="static site out of result files")
    commands = parser.add_subparsers(dest="leaderboard_command", required=True, metavar="build|serve")
    build = commands.add_parser("build", help="write the site to a folder")
    build.add_argument("--results", required=True, type=Path, metavar="DIR", help="folder of result records")
    build.add_argument(
        "--out", default=Path("site"), type=Path, metavar="DIR", help="folder of the site (default: site)"
    )
    build.set_defaults(handler=run_build)
    serve = commands.add_parser("serve", help="build the site and show it on http://127.0.0.1")
    serve.add_argument("--results", required=True, type=Path, metavar="DIR", help="folder of result records")
    serve.add_argument("--out", type=Path, metavar="DIR", help="folder of the site (default: a temporary one)")
    serve.add_argument("--port", default=8000, type=int, help="port; 0 takes a free one (default: 8000)")
    serve.set_defaults(handler=run_serve)


def run_build(args: argparse.Namespace) -> int:
    """`zoo leaderboard build`."""
    from leaderboard.build import build

    _print(build(args.results, args.out))
    return 0


def run_serve(args: argparse.Namespace) -> int:
    """`zoo leaderboard serve`: until Ctrl-C."""
    from leaderboard.build import build
    from leaderboard.serve import server

    with tempfile.TemporaryDirectory(prefix="zoo-leaderboard-") as temporary:
        report = build(args.results, args.out or Path(temporary) / "site")
        _print(report)
        with server(report.index.parent, args.port) as httpd:
            print(f"http://127.0.0.1:{httpd.server_address[1]} (stop with Ctrl-C)", flush=True)
            with contextlib.suppress(KeyboardInterrupt):
                httpd.serve_forever()
    return 0


def _print(report: BuildReport) -> None:
    for refusal in report.refused:
        print(f"refused {refusal.file}: {refusal.reason}", file=sys.stderr)
    print(f"{report.models} models, {report.tasks} tasks, {report.records} records: {report.index}")
