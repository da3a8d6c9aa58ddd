"""A step's batch in parts: what a part learns does not depend on the rank and the turn in which it is computed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Generator, Tensor

from dataengine.digest import number_of
from dataengine.errors import DataEngineError
from models.parts import Draws, Random
from pipelines.training.distributed import Distributed
from pipelines.training.settings import LoopConfig


class Counting(Protocol):
    """A model that counts what each mean of its loss is over."""

    def counts(self, batch: Any, random: Random) -> dict[str, Tensor]:
        """Count, drawing as `loss` will."""
        ...


@dataclass(frozen=True)
class BatchParts:
    """How the batch of a step is divided among `grad_accumulation_steps` and ranks."""

    config: LoopConfig
    distributed: Distributed

    def __post_init__(self) -> None:
        config, world_size = self.config, self.distributed.world_size
        if config.batch_size % (config.grad_accumulation_steps * world_size):
            raise DataEngineError(
                f"batch_size {config.batch_size} does not divide into "
                f"{config.grad_accumulation_steps} parts on {world_size} ranks"
            )

    def span(self, part: int) -> tuple[int, int]:
        """Give the first clip of this rank's share of a part in the step's whole batch, and how many it has."""
        of_part = self.config.micro_batch_size
        share = of_part // self.distributed.world_size
        return part * of_part + self.distributed.rank * share, share

    def draws(self, key: str, part: int) -> Draws:
        """Make the random numbers of a batch named `key`: they depend neither on what ran before nor on the parts."""
        first, share = self.span(part)
        return Draws(
            Generator(self.distributed.device).manual_seed(number_of(key, 7)), first, share, self.config.batch_size
        )

    def counts(self, model: Counting, parts: Sequence[Any], key: str) -> dict[str, Tensor] | None:
        """Average over all parts, on all ranks, what the means of the loss are over; None where there is one part."""
        if len(parts) * self.distributed.world_size == 1:
            return None
        of_parts = [model.counts(batch, self.draws(key, part)) for part, batch in enumerate(parts)]
        names = sorted(of_parts[0])
        if not names:
            return {}
        sums = torch.stack([torch.stack([one[name].double() for one in of_parts]).sum() for name in names])
        return dict(zip(names, self.distributed.all_reduce_mean(sums) / len(parts), strict=True))
