"""A data loader that knows how many batches were taken from it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, cast, runtime_checkable

from torch.utils.data import DataLoader, Dataset

from zoo.contracts import PackedBatch, PairBatch
from zoo.data.packing import BatchSampler

Batch = PackedBatch | PairBatch


@runtime_checkable
class BatchDataset(Protocol):
    """Gives the batch of a list of indices as a whole."""

    def __getitem__(self, indices: list[int]) -> Batch:
        """The batch of sequences (or pairs) `indices`."""

    def __len__(self) -> int:
        """Number of sequences (or pairs)."""


class ResumableLoader:
    """Loads the batches that a `BatchSampler` chooses, and resumes in mid-epoch.

    Lightning stores `state_dict` in its checkpoints and gives it back before it goes on. The position counts batches
    that were handed out, not those that workers fetched ahead. It holds a `DataLoader` rather than being one, because
    Lightning takes those apart to exchange their samplers, for predictions and on several devices; this sampler knows
    its rank already.

    Args:
        dataset: gives whole batches.
        sampler: chooses them.
        num_workers: processes that read ahead; 0 reads in this one.
        pin_memory: copy batches to page-locked memory, for a GPU.
    """

    def __init__(
        self, dataset: BatchDataset, sampler: BatchSampler, num_workers: int = 0, pin_memory: bool = False
    ) -> None:
        self.batch_sampler = sampler
        self._loader: DataLoader[Batch] = DataLoader(
            cast(Dataset[Batch], dataset),
            batch_size=None,
            sampler=sampler,
            num_workers=num_workers,
            pin_memory=pin_memory,
            collate_fn=_as_it_is,
        )
        self._epoch = -1
        self._position = 0

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[Batch]:
        # A generator: Lightning makes the iterator of an epoch before it says which epoch that is, and workers would
        # read ahead in the wrong one.
        self._epoch, self._position = self.batch_sampler.epoch, self.batch_sampler.start
        for batch in self._loader:
            self._position += 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Epoch and position."""
        begun = self._epoch == self.batch_sampler.epoch
        position = self._position if begun else self.batch_sampler.start
        return {**self.batch_sampler.state_dict(), "position": position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let the next iteration begin where `state` was taken.

        Raises:
            ValueError: if the batches are cut differently now.
        """
        self.batch_sampler.load_state_dict(state, state["position"])
        self._epoch = -1


def _as_it_is(batch: Any) -> Any:
    return batch
