"""A batch in parts, by gradient accumulation (micro-batches) or over ranks, trains as the whole batch would.

Random numbers of a part are those that its rows have in the whole batch. Means divide by the average count of the
parts, so that the average over parts is the mean over the whole batch, however unevenly it is divided: a part without
robots has no weight in the robots' term.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor

Counts = Mapping[str, Tensor]
"""By the name of a mean: how many numbers it is over, averaged over the parts of a step."""


@dataclass(frozen=True)
class Draws:
    """Draws what some rows of a batch get when the whole batch is drawn."""

    generator: Generator
    first: int
    num_rows: int
    num_all: int

    def rows(self, draw: Callable[..., Tensor], shape: Sequence[int], device: torch.device) -> Tensor:
        """Draw for all rows of the batch, several for each where there are several; keep those of this part."""
        each, left = divmod(shape[0], self.num_rows)
        assert not left, f"{shape[0]} draws for {self.num_rows} rows"
        whole = draw((each * self.num_all, *shape[1:]), device=device, generator=self.generator)
        return whole[each * self.first : each * (self.first + self.num_rows)]


Random = Draws | Generator | None
"""Source of random numbers: rows of a whole batch, a generator, or torch's default one."""


def uniform(shape: Sequence[int], device: torch.device, random: Random) -> Tensor:
    """Draw from [0, 1), row by row."""
    if isinstance(random, Draws):
        return random.rows(torch.rand, shape, device)
    return torch.rand(tuple(shape), device=device, generator=random)


def normal(shape: Sequence[int], device: torch.device, random: Random) -> Tensor:
    """Draw from the normal distribution, row by row."""
    if isinstance(random, Draws):
        return random.rows(torch.randn, shape, device)
    return torch.randn(tuple(shape), device=device, generator=random)


def mean_of(total: Float[Tensor, ""], own: Tensor, counts: Counts | None, name: str) -> Float[Tensor, ""]:
    """Divide a sum by the count that a mean of this name has; by its own where the batch is the whole. 0 / 0 is 0."""
    if counts is None:
        return total / own.clamp(min=1)
    return total / counts[name].to(total.dtype).clamp(min=1e-6)
