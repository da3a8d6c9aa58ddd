"""A batch in parts, by gradient accumulation (micro-batches) or over ranks, trains as the whole batch would.

Random numbers of a part are those that its rows have in the whole batch. Means divide by the average count of the
parts, so that the average over parts is the mean over the whole batch, however unevenly it is divided: a part without
robots has no weight in the robots' term.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Shaped
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


@dataclass(frozen=True)
class RowSums:
    """What the means of a forward pass are over, row by row of its batch."""

    num_rows: int
    sums: dict[str, Float[Tensor, "2 b"]] = field(default_factory=dict)
    """By the name of a figure: sums of its values, and how many values count."""

    def add(self, figure: str, values: Tensor, valid: Tensor) -> None:
        """Take what a mean is over; the values of a row of the batch lie side by side. A sum has no rows."""
        if not values.dim():
            return
        rows = [x.detach().double().reshape(self.num_rows, -1).sum(dim=1) for x in (values, valid)]
        self.sums[figure] = torch.stack(rows)


_watching: list[RowSums] = []


@contextmanager
def by_row(num_rows: int) -> Iterator[RowSums]:
    """Collect what the means of a forward pass over so many rows are over; nothing else changes."""
    _watching.append(RowSums(num_rows))
    try:
        yield _watching[-1]
    finally:
        _watching.pop()


def mean_of(
    values: Float[Tensor, "*n"], valid: Shaped[Tensor, "*n"], counts: Counts | None, name: str, figure: str = ""
) -> Float[Tensor, ""]:
    """Divide the sum of values by the count that a mean of this name has; by its own where the batch is the whole.

    `valid` counts each value, which is 0 where that is 0; 0 / 0 is 0. Several figures may be over the same count.
    """
    for watcher in _watching:
        watcher.add(figure or name, values, valid)
    total, own = values.sum(), valid.sum()
    if counts is None:
        return total / own.clamp(min=1)
    return total / counts[name].to(total.dtype).clamp(min=1e-6)
