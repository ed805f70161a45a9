"""Checkpoints written without a second copy in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO

from zoo.data.cache import atomic_path


class StreamedCheckpoints(TorchCheckpointIO):
    """Writes tensor after tensor to a file beside, which then takes the place of the checkpoint.

    Lightning's own writer builds the whole file in memory, twice: three times weights and optimizer state at the peak.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write `checkpoint`; addresses that are no local file are left to Lightning."""
        if "://" in str(path) or storage_options is not None:
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(target) as partial:
            torch.save(checkpoint, partial)
