"""What a model sees of a robot, made the same way in training and when a policy acts.

Vectors go through a list of transforms, and what a policy predicts goes back through the same list: house units ->
normalised by embodiment and dataset -> padded to the model's width. Shape letters as in `models/batch.py`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dataengine.errors import DataEngineError
from dataengine.windows.normalize import Column, Normalizer
from models.batch import Observation
from pipelines.training.tokenizer import Tokenizer

EmbodimentKey = tuple[str, str | None]
"""Embodiment and dataset; None stands for all its datasets together."""
Array = NDArray[np.float32]


class Transform(Protocol):
    """Changes vectors (..., d) of one embodiment in one dataset, and undoes it."""

    def apply(self, x: Array, key: EmbodimentKey) -> Array:
        """Go from the robot towards the model."""
        ...

    def invert(self, x: Array, key: EmbodimentKey) -> Array:
        """Go back."""
        ...


@dataclass(frozen=True)
class Normalize:
    """House units to about [-1, 1], by the statistics of an embodiment in a dataset."""

    normalizer: Normalizer
    column: Column

    def apply(self, x: Array, key: EmbodimentKey) -> Array:
        """Raise DataEngineError where the vector's width is not that of the statistics."""
        embodiment, dataset = key
        return self.normalizer.normalize(embodiment, self.column, x, dataset)

    def invert(self, x: Array, key: EmbodimentKey) -> Array:
        """Give house units."""
        embodiment, dataset = key
        return self.normalizer.invert(embodiment, self.column, x, dataset)


@dataclass(frozen=True)
class Pad:
    """An embodiment's own width to the model's, with zeros."""

    normalizer: Normalizer
    column: Column
    width: int

    def apply(self, x: Array, key: EmbodimentKey) -> Array:
        """Raise DataEngineError where the model is too narrow."""
        dim = x.shape[-1]
        if dim > self.width:
            raise DataEngineError(
                f"{self.column} of embodiment '{key[0]}' has {dim} values, the model takes {self.width} at most"
            )
        padded = np.zeros((*x.shape[:-1], self.width), np.float32)
        padded[..., :dim] = x
        return padded

    def invert(self, x: Array, key: EmbodimentKey) -> Array:
        """Keep the dimensions that the embodiment has."""
        return x[..., : self.normalizer.dim(key[0], self.column, key[1])]


@dataclass(frozen=True)
class Transforms:
    """Transforms one after another."""

    steps: tuple[Transform, ...]

    def apply(self, x: Array, key: EmbodimentKey) -> Array:
        """Go from the robot to the model."""
        for step in self.steps:
            x = step.apply(x, key)
        return x

    def apply_each(self, xs: Mapping[int, Array], keys: Mapping[int, EmbodimentKey]) -> Iterator[tuple[int, Array]]:
        """Do so with arrays (n_i, d) by row, each embodiment's at once; their order may change."""
        for key, rows in rows_by_key({row: keys[row] for row in xs}):
            ends = np.cumsum([len(xs[row]) for row in rows])
            joined = self.apply(np.concatenate([xs[row] for row in rows]), key)
            yield from zip(rows, np.split(joined, ends[:-1]), strict=True)

    def invert(self, x: Array, key: EmbodimentKey) -> Array:
        """Go from the model to the robot."""
        for step in reversed(self.steps):
            x = step.invert(x, key)
        return x


def vector_transforms(normalizer: Normalizer, column: Column, width: int) -> Transforms:
    """List what happens to a column's vectors on the way to a model of that width."""
    return Transforms((Normalize(normalizer, column), Pad(normalizer, column, width)))


@dataclass(frozen=True)
class Instant:
    """One moment of one embodiment, but for its pictures."""

    embodiment: str
    dataset: str | None
    state: Array | None
    """(s,) canonical, house units; None where there is none."""
    instruction: str
    embodiment_id: int
    dataset_id: int
    steps_per_latent: float
    control_hz: float


@dataclass(frozen=True)
class Observer:
    """Makes observations for one policy."""

    normalizer: Normalizer
    tokenizer: Tokenizer
    text_length: int
    state_dim: int
    """Width of the model's state."""

    def observe(
        self, instants: Sequence[Instant], image: Tensor, wrist: Tensor, has_wrist: NDArray[np.bool_]
    ) -> Observation:
        """Join moments (b) and their pictures (b, 3, side, side), uint8, to what the policy reads."""
        state, state_mask = self._states(instants)
        token_ids, token_mask = self.tokenizer.encode([i.instruction for i in instants], self.text_length)
        return Observation(
            image=image,
            wrist=wrist,
            has_wrist=torch.from_numpy(has_wrist),
            token_ids=torch.from_numpy(token_ids),
            token_mask=torch.from_numpy(token_mask),
            state=torch.from_numpy(state),
            state_mask=torch.from_numpy(state_mask),
            embodiment_id=torch.tensor([i.embodiment_id for i in instants]),
            dataset_id=torch.tensor([i.dataset_id for i in instants]),
            steps_per_latent=torch.tensor([i.steps_per_latent for i in instants], dtype=torch.float32),
            control_hz=torch.tensor([i.control_hz for i in instants], dtype=torch.float32),
        )

    def _states(self, instants: Sequence[Instant]) -> tuple[Array, NDArray[np.bool_]]:
        state = np.zeros((len(instants), self.state_dim), np.float32)
        mask = np.zeros(state.shape, bool)
        states = {row: i.state[None] for row, i in enumerate(instants) if i.state is not None}
        keys = {row: (i.embodiment, i.dataset) for row, i in enumerate(instants)}
        for row, values in vector_transforms(self.normalizer, "state", self.state_dim).apply_each(states, keys):
            state[row] = values[0]
            mask[row, : states[row].shape[1]] = True
        return state, mask


def rows_by_key(keys: Mapping[int, EmbodimentKey]) -> Iterable[tuple[EmbodimentKey, list[int]]]:
    """Group rows by embodiment and dataset, so that each group is transformed at once."""
    groups: dict[EmbodimentKey, list[int]] = {}
    for row, key in keys.items():
        groups.setdefault(key, []).append(row)
    return groups.items()
