from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from leaderboard import cli, serve


def run(*args: object) -> int:
    parser = argparse.ArgumentParser()
    cli.register(parser.add_subparsers(required=True))
    parsed = parser.parse_args(["leaderboard", *map(str, args)])
    status: int = parsed.handler(parsed)
    return status


def test_build_prints_where_and_what_was_refused(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (next(results.glob("full/*")) / "Broken.json").write_text("{", encoding="utf-8")
    assert run("build", "--results", results, "--out", tmp_path / "site") == 0
    printed = capsys.readouterr()
    assert printed.out == f"6 models, 4 tasks, 11 records: {tmp_path / 'site' / 'index.html'}\n"
    assert "Broken.json: not a valid record" in printed.err


def test_serve_builds_to_a_temporary_folder_and_cleans_up(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[Path] = []

    class Server:
        server_address = ("127.0.0.1", 12345)

        def __init__(self, folder: Path, port: int) -> None:
            assert (folder / "index.html").is_file()
            seen.append(folder)

        def __enter__(self) -> Server:
            return self

        def __exit__(self, *args: Any) -> None:
            pass

        def serve_forever(self) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr(serve, "server", Server)
    assert run("serve", "--results", results, "--port", 0) == 0
    assert "http://127.0.0.1:12345" in capsys.readouterr().out
    assert not seen[0].exists()


def test_importing_the_cli_and_the_build_is_light() -> None:
    script = (
        "import sys, leaderboard.cli\n"
        "heavy = {'jinja2', 'altair', 'vl_convert', 'yaml'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "import leaderboard.build\n"
        "heavy = {'torch', 'lightning', 'mteb', 'zoo', 'itables', 'altair', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
