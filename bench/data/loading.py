"""The one door through which data of the hub or of a bundle comes in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import datasets

from bench.data.bundle import Bundle, dataset_name
from bench.data.check import check
from bench.data.offline import hub_only, is_hub_name, refuse_lost
from bench.data.rows import hash_rows
from bench.records import DataCheck

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask


@dataclass(frozen=True)
class Loaded:
    """What is known of loaded data.

    Args:
        rows: hash of all that will be scored.
        check: whether it is the official data.
    """

    rows: str
    check: DataCheck


def load(task: AbsTask, bundle: Bundle | None = None, cache_dir: str | Path | None = None) -> Loaded:
    """Load the data of an mteb task, hash it and compare it with the official statistics.

    Args:
        task: its data is filled in.
        bundle: where to take it from; None takes it from the hub. Data that is no hub's comes from the task itself.
        cache_dir: where findings are kept; None takes the usual cache.

    Raises:
        ValueError: if other data than was asked for would be loaded, or the bundle does not have it.
        ConnectionError: if the hub cannot be reached.
    """
    path = str(task.metadata.dataset["path"])
    if not is_hub_name(path):
        task.load_data()
        return Loaded(hash_rows(task), DataCheck("unchecked", "data of our own, which mteb does not know"))
    if bundle is not None:
        bundle.load(task)
    else:
        with hub_only(path):
            task.load_data()
        refuse_lost(task)
    rows = hash_rows(task)
    return Loaded(rows, check(task, rows, cache_dir))


def load_dataset(
    path: str, config: str | None, *, split: str, revision: str, bundle: Bundle | None = None
) -> datasets.Dataset:
    """One split of data that is no mteb task, from `bundle` or the hub.

    Args:
        path: name on the hub.
        config: of the data, None for its only one.
        split: such as `train`.
        revision: commit of the hub.
        bundle: where to take it from; None takes it from the hub.

    Raises:
        ValueError: if other data than was asked for would be loaded, or the bundle does not have it.
        ConnectionError: if the hub cannot be reached.
    """
    if bundle is not None:
        return bundle.dataset(dataset_name(path, config, split, revision))
    with hub_only(path):
        return datasets.load_dataset(path, config, split=split, revision=revision)
