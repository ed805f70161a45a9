"""`zoo quickstart`: corpus, three variants, scores, page, in one go."""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
from pathlib import Path

VARIANTS = ("full", "tied", "gelu")
_STAMP = "quickstart.json"


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `zoo quickstart`."""
    parser = commands.add_parser(
        "quickstart",
        help="train three small variants, score them and build the page",
        description="Train three small variants on an embedded corpus, score them beside BM25, and build the page. "
        "Run it again to go on where it stopped: what is done is not done again.",
    )
    parser.add_argument("--out", type=Path, default=Path("quickstart"), metavar="DIR", help="default: %(default)s")
    parser.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="OPTION",
        help="options of `zoo fit` for every run, such as trainer.max_steps=20",
    )
    parser.set_defaults(handler=_quickstart)


def _quickstart(options: argparse.Namespace) -> int:
    runs, results, site = (options.out / name for name in ("runs", "results", "site"))
    overrides = [f"--{option}" for option in options.set]
    for variant in VARIANTS:
        pretrained, finetuned = runs / f"{variant}-mlm", runs / variant
        _train_once(pretrained, ["pretrain", variant], overrides)
        _train_once(finetuned, ["finetune", variant], [*overrides, f"--model.init_from={pretrained}"])
    failed = _score([runs / variant for variant in VARIANTS], "pydoc", results)
    failed += _score([runs / f"{variant}-mlm" for variant in VARIANTS], "lm", results)
    _build_page(results, site)
    return 1 if failed else 0


def _train_once(run: Path, stages: list[str], options: list[str]) -> None:
    """Train `run` unless it is finished; resume it where it was cut off.

    Raises:
        ValueError: if the folder holds something else.
    """
    from zoo.cli.listing import config_root

    files = [str(config_root() / "quickstart" / f"{stage}.yaml") for stage in stages]
    stamp = {"inputs": _digest(files, options)}
    if _finished(run, stamp):
        _say(f"{run} is trained already")
        return
    _say(f"training {run.name}")
    from zoo.cli.train import train

    arguments = ["fit", *(word for file in files for word in ("--config", file)), *options, "--run_dir", str(run)]
    if (run / "checkpoints" / "last.ckpt").is_file():
        train([*arguments, "--ckpt_path", "last"])
        return
    shutil.rmtree(run, ignore_errors=True)
    run.mkdir(parents=True)
    (run / _STAMP).write_text(json.dumps(stamp), encoding="utf-8")
    train(arguments)


def _finished(run: Path, stamp: dict[str, str]) -> bool:
    if not run.exists():
        return False
    try:
        found = json.loads((run / _STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if found != stamp:
        raise ValueError(f"{run} was made with other settings: name another folder with --out, or remove it")
    try:
        return str(json.loads((run / "provenance.json").read_text(encoding="utf-8"))["state"]) == "finished"
    except (OSError, ValueError, KeyError):
        return False


def _digest(files: list[str], options: list[str]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(Path(file).read_bytes())
    digest.update("\n".join(options).encode())
    return digest.hexdigest()


def _score(models: list[Path], suite: str, results: Path) -> int:
    """Score `models`, and BM25 where the suite retrieves; returns the number of failed cells."""
    from bench import runner
    from bench.commands.run import line_of
    from bench.suites.catalog import Sources

    names = [str(model) for model in models]
    lexical = ["bm25"] if suite == "pydoc" else []
    report = runner.run(
        [*names, *lexical],
        [suite],
        results_dir=results,
        sources=Sources(packages=_packages()),
        settings=runner.Settings(progress=sys.stderr.isatty(), on_cell=lambda cell: _say(line_of(cell))),
    )
    return len(report.failed)


def _packages() -> list[str]:
    """Packages of the corpus that the runs are trained on."""
    import yaml

    from zoo.cli.listing import config_root

    config = yaml.safe_load((config_root() / "quickstart" / "pretrain.yaml").read_text(encoding="utf-8"))
    return list(config["data"]["init_args"]["packages"])


def _build_page(results: Path, site: Path) -> None:
    from bench.commands.status import print_status
    from leaderboard.build import build

    build(results, site)
    print_status(results)
    sys.stdout.write(f"page: {(site / 'index.html').resolve()}\n")


def _say(text: str) -> None:
    sys.stderr.write(f"zoo: {text}\n")
    sys.stderr.flush()
