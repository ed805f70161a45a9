"""Ways in which `datasets` and mteb load other data than was asked for without an error: found and refused.

- Without a network, or in offline mode, `datasets` takes the newest copy in its cache, whatever its revision.
- There it knows of no further configurations, so that mteb leaves out the candidates of a reranking task and ranks
  the whole corpus instead.
- A folder `owner/name` in the current directory wins over the hub.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import huggingface_hub
from datasets import Dataset

from bench.data.rows import parts_of

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask

_VARIABLES = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE")
_loading = threading.Lock()


@contextmanager
def hub_only(path: str) -> Iterator[None]:
    """Within it, data comes from the hub in the revision that was asked for, or not at all.

    Args:
        path: name of the data, such as `mteb/scifact`.

    Raises:
        ValueError: in offline mode, or if a local folder would be taken for the data.
        ConnectionError: from the block, if the hub cannot be reached.
    """
    refuse_offline()
    refuse_shadow(path)
    with _loading, _without_fallback():
        yield


def refuse_offline() -> None:
    """Refuse the offline mode of `datasets` and `huggingface_hub`, which ignores revisions.

    Raises:
        ValueError: if it is on.
    """
    if not (datasets.config.HF_HUB_OFFLINE or huggingface_hub.constants.HF_HUB_OFFLINE):
        return
    set_ones = [name for name in _VARIABLES if os.environ.get(name)]
    cause = " and ".join(set_ones) or "the configuration of datasets or huggingface_hub"
    raise ValueError(
        f"offline mode is on ({cause}): it takes any revision of the data and leaves out candidates for reranking; "
        "unset it, or take the data from a bundle: `--bundle FILE`, made by `zoo bench pack` on a connected machine"
    )


def refuse_shadow(path: str) -> None:
    """Refuse a local folder that `datasets` would take for the data called `path` on the hub.

    Raises:
        ValueError: if there is one.
    """
    if is_hub_name(path) and Path(path).is_dir():
        raise ValueError(
            f"the folder {Path(path).resolve()} would be loaded instead of {path} from the hub; "
            "rename it, or run in another directory"
        )


def refuse_lost(task: AbsTask) -> None:
    """Refuse loaded data that is another revision, or has lost its candidates for reranking.

    Args:
        task: an mteb task whose data is loaded.

    Raises:
        ValueError: if so. A revision that left no trace in the loaded data passes.
    """
    wanted = str(task.metadata.dataset.get("revision"))
    for part, data in parts_of(task).items():
        found = revision_of(data)
        if found is not None and re.fullmatch("[0-9a-f]{40}", wanted) and found != wanted:
            name = task.metadata.name
            raise ValueError(
                f"{name}: {'/'.join(part)} is revision {found[:12]}, not {wanted[:12]}; remove it from the cache of "
                "datasets and load it again with a network, or use `--bundle FILE`"
            )
    lost = _without_candidates(task)
    if lost:
        raise ValueError(
            f"{task.metadata.name}: the official data has candidates for {lost[0]}, the loaded data has none, so that "
            "the whole corpus would be ranked; load it with a network, or use `--bundle FILE`"
        )


def is_hub_name(path: str) -> bool:
    """Whether `path` has the form `owner/name` of data on the hub.

    Example:
        >>> is_hub_name("mteb/scifact"), is_hub_name("/data/scifact"), is_hub_name("pydoc")
        (True, False, False)
    """
    return re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", path) is not None


def revision_of(data: Any) -> str | None:
    """Commit of the hub that a loaded table comes from; None where it left no trace."""
    files = data.cache_files if isinstance(data, Dataset) else []
    for file in files:
        match = re.search(r"/0\.0\.0/([0-9a-f]{40})/[^/]+$", Path(file["filename"]).as_posix())
        if match:
            return match[1]
    return None


def _without_candidates(task: AbsTask) -> list[str]:
    """Parts of `task` that have candidates in the official statistics and none in the loaded data."""
    official = task.metadata.descriptive_stats or {}
    lost = []
    for part, data in parts_of(task).items():
        if part[-1] != "top_ranked" or data:
            continue
        subset, split = part[0], part[-2]
        expected: Mapping[str, Any] = official.get(split) or {}
        by_subset = expected.get("hf_subset_descriptive_stats") or {}
        if (by_subset.get(subset) or expected).get("top_ranked_statistics"):
            lost.append("/".join(part[:-1]))
    return lost


@contextmanager
def _without_fallback() -> Iterator[None]:
    """Keep `datasets` from answering a failed connection out of its cache: the connection's own error is raised."""
    logger, refuse = logging.getLogger("datasets.load"), _Refuse()
    level = logger.level
    logger.addHandler(refuse)
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.removeHandler(refuse)
        logger.setLevel(level)


class _Refuse(logging.Handler):
    """Stops the fallback where it announces itself; `datasets` then raises the error that made it look there."""

    def emit(self, record: logging.LogRecord) -> None:
        if "latest cached version" in record.getMessage():
            raise ConnectionError("the hub cannot be reached")
