"""What the trainer asks of a model, and of those who follow a run."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from models.parts import Counts, Random


class Trainable(Protocol):
    """A model with a loss. Its `config` goes with its weights."""

    config: Any

    def counts(self, batch: Any, random: Random) -> dict[str, Tensor]:
        """Count what each mean of the loss is over, drawing as `loss` will."""
        ...

    def loss(self, batch: Any, random: Random, counts: Counts | None) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and figures that describe it, detached; see `models.parts` for the counts."""
        ...

    def begin_step(self, step: int, num_steps: int) -> bool | None:
        """Advance the model's own schedules; True if that moved weights."""
        ...


@runtime_checkable
class EndsSteps(Protocol):
    """A module that learns something of a whole step, however it is divided: all ranks have equal buffers of it."""

    def end_step(self, add_up: Callable[[Tensor], object]) -> None:
        """Take up what this rank's parts showed; `add_up` adds to a tensor, in place, those of the other ranks."""
        ...


class Callback(Protocol):
    """Reads the metrics of a run, on the main process; nothing that training depends on may move."""

    def extra_metrics(self, step: int, batch: Any) -> Mapping[str, float]:
        """Add figures to an entry, from the batch that was just learnt."""
        ...

    def on_log(self, step: int, metrics: Mapping[str, float]) -> Sequence[str]:
        """Read an entry, at first those of earlier calls; return messages for the user."""
        ...
