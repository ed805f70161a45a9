"""Measurements in a process of their own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def in_fresh_process(threads: int, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Result of a function in a new process, whose memory goes with it.

    Args:
        threads: CPU threads of torch.
        function: of a module.
        args: for it.
        kwargs: for it.

    Raises:
        ValueError: if the process was killed.
    """
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=_use_threads, initargs=(threads,)) as pool:
        try:
            return pool.submit(function, *args, **kwargs).result()
        except BrokenProcessPool as error:
            raise ValueError(
                f"{function.__module__} was killed while it measured, most likely for want of memory: free some"
            ) from error


def _use_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


@contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    """Have environment variables, which processes that are started inside see.

    Args:
        values: by name.
    """
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        for name in values:
            if name in before:
                os.environ[name] = before[name]
            else:
                del os.environ[name]
