"""Read a results folder: every usable record, and every file that is not one with the reason."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from bench.records import Record, load_all


@dataclass(frozen=True)
class Refusal:
    """A file that looks like a record and cannot be used.

    Args:
        file: its place below the results folder, with forward slashes.
        reason: what is wrong and what to do.
    """

    file: str
    reason: str


@dataclass(frozen=True)
class Results:
    """What a results folder holds.

    Args:
        records: every usable one.
        refused: every file that is none.
        root: the folder, None for records that were never written.
    """

    records: tuple[Record, ...]
    refused: tuple[Refusal, ...]
    root: Path | None = None


def load(results_dir: str | Path) -> Results:
    """Read every record below `results_dir`.

    Raises:
        FileNotFoundError: if the folder is not there.
        ValueError: if not one usable record is in it.
    """
    root = Path(results_dir)
    records, problems = load_all(root)
    refused = tuple(Refusal(p.path.relative_to(root).as_posix(), _reason(p.message, p.path, root)) for p in problems)
    if not records and refused:
        first = refused[0]
        raise ValueError(f"{root}: none of {len(refused)} files is a usable record; {first.file}: {first.reason}")
    if not records:
        raise ValueError(f"{root}: no records (MODEL/REVISION/TASK.json) here; make some with `zoo bench run`")
    return Results(tuple(records), refused, root)


def _reason(message: str, path: Path, root: Path) -> str:
    """`message` without the place of the results folder, which would make the same results give different sites."""
    return message.removeprefix(f"{path}: ").replace(f"{root}{os.sep}", "")
