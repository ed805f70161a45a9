"""Several processes, on one machine or many, that compute one thing together."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from lightning.fabric import Fabric

Value = TypeVar("Value")

# One process may score for hours while the others wait for it.
_PATIENCE = timedelta(days=7)


class Workers(Protocol):
    """All processes of a program; each of them runs the whole of it."""

    @property
    def rank(self) -> int:
        """Number of this process, from 0."""

    @property
    def world_size(self) -> int:
        """Number of processes."""

    @property
    def device(self) -> str | None:
        """Device of this process, None where it may choose."""

    def barrier(self) -> None:
        """Wait until every process is here."""

    def broadcast(self, value: Value) -> Value:
        """The value that process 0 has."""

    def agree(self, error: Exception | None) -> None:
        """Go on together or fail together: every process calls this, with what went wrong in it or None.

        Raises:
            ValueError: on all, if one has failed because of what it was given (a ValueError or OSError).
            RuntimeError: on all, if one has failed otherwise.
        """


class _Alone:
    """The only process."""

    rank = 0
    world_size = 1
    device = None

    def barrier(self) -> None:
        """Nobody to wait for."""

    def broadcast(self, value: Value) -> Value:
        """The value itself."""
        return value

    def agree(self, error: Exception | None) -> None:
        """Raise `error`, if there is one."""
        if error is not None:
            raise error


ALONE: Workers = _Alone()


class FabricWorkers:
    """Processes started or found by Lightning Fabric.

    Args:
        fabric: launched.
    """

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric
        self.rank: int = fabric.global_rank
        self.world_size: int = fabric.world_size
        self.device: str | None = str(fabric.device)

    def barrier(self) -> None:
        """Wait until every process is here."""
        self._fabric.barrier()

    def broadcast(self, value: Value) -> Value:
        """The value that process 0 has."""
        result: Value = self._fabric.broadcast(value)
        return result

    def agree(self, error: Exception | None) -> None:
        """Raise the error of the first process that has one, on all of them."""
        import torch.distributed

        told = None if error is None else (f"{type(error).__name__}: {error}", isinstance(error, ValueError | OSError))
        everyone: list[tuple[str, bool] | None] = [None] * self.world_size
        torch.distributed.all_gather_object(everyone, told)
        failure = _first_failure(everyone)
        if failure is not None:
            raise failure from error


def launch(devices: int | str = 1, num_nodes: int = 1, accelerator: str = "auto") -> Workers:
    """Start the other processes, or find them where torchrun or SLURM has started them already.

    Every process runs the whole program with the same arguments.

    Args:
        devices: processes a machine, each with a device of its own.
        num_nodes: machines.
        accelerator: `auto`, `cpu`, `cuda`, ...

    Raises:
        ValueError: if more processes were started from outside than are asked for.
    """
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if str(devices) == "1" and num_nodes == 1:
        if started > 1:
            raise ValueError(
                f"{started} processes were started (WORLD_SIZE), but one is asked for: "
                "give their number a machine by --devices and the number of machines by --num_nodes"
            )
        return ALONE
    from lightning.fabric import Fabric
    from lightning.fabric.strategies.ddp import DDPStrategy

    # vectors travel through the cache folder, so gloo is enough for what is left to say, on every device
    strategy = DDPStrategy(process_group_backend="gloo", timeout=_PATIENCE)
    fabric = Fabric(accelerator=accelerator, devices=devices, num_nodes=num_nodes, strategy=strategy)
    fabric.launch()
    return FabricWorkers(fabric)


def check_shared(workers: Workers, folder: Path) -> None:
    """Make sure that all processes see the same `folder`.

    Raises:
        ValueError: on all of them, if one does not.
    """
    token = workers.broadcast(secrets.token_hex(8))
    path = folder / f".shared-{token}"
    error: Exception | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if workers.rank == 0:
            path.touch()
    except OSError as exception:
        error = exception
    workers.agree(error)
    seen = path.exists()
    try:
        workers.agree(None if seen else ValueError(_not_shared(workers.rank, folder)))
    finally:
        if workers.rank == 0:
            path.unlink(missing_ok=True)


def _not_shared(rank: int, folder: Path) -> str:
    return (
        f"process {rank} does not see the cache folder {folder} of process 0: put it on a disk that all machines share"
    )


def _first_failure(everyone: Sequence[Any]) -> Exception | None:
    for rank, told in enumerate(everyone):
        if told is not None:
            text, expected = told
            message = f"process {rank} failed: {text}"
            return ValueError(message) if expected else RuntimeError(message)
    return None
