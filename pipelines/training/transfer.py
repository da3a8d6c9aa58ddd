"""Batches on their way to the device: copied while the step before is computed."""

from typing import TypeVar, cast

import torch

from models.batch import ActBatch, LamBatch, WorldBatch

B = TypeVar("B", LamBatch, ActBatch, WorldBatch)


class Transfer:
    """Copies batches to a device; to a GPU in a stream of its own, for which the step's waits and the host does not."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._copies = torch.cuda.Stream(device) if device.type == "cuda" else None

    def __call__(self, batch: B) -> B:
        """Copy a batch, whose own tensors may be used again when the copies are made."""
        if self._copies is None:
            return cast(B, batch.to(self.device))
        with torch.cuda.stream(self._copies):
            moved = cast(B, batch.to(self.device))
        present = torch.cuda.current_stream(self.device)
        present.wait_stream(self._copies)
        for tensor in moved.travelling().values():
            tensor.record_stream(present)  # its memory is not given to another copy before the step has read it
        return moved
