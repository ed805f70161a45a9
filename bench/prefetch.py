"""Loads the data of the next task while this one encodes."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence

from bench.protocols import Task


class Prefetch:
    """One thread at a time that prepares a task ahead.

    Its errors are dropped: `prepare` runs into them again when the task's turn comes, and there they are reported.

    Args:
        tasks: in the order in which they will be run.
        wanted: whether the data of a task will be needed.
    """

    def __init__(self, tasks: Sequence[Task], wanted: Callable[[Task], bool]) -> None:
        self._tasks = tasks
        self._wanted = wanted
        self._thread: threading.Thread | None = None

    def start(self, number: int) -> None:
        """Begin to load task `number`, if there is one, its data will be needed and nothing else is being loaded."""
        busy = self._thread is not None and self._thread.is_alive()
        if busy or number >= len(self._tasks) or not self._wanted(self._tasks[number]):
            return
        self._thread = threading.Thread(target=_prepare, args=(self._tasks[number],), daemon=True)
        self._thread.start()


def _prepare(task: Task) -> None:
    with contextlib.suppress(Exception):
        task.prepare()
