"""Errors of chunks beside those of two that look at nothing: always the mean action, and holding still."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from dataengine.windows.normalize import Normalizer

NAMES = ("policy", "mean", "hold")


@dataclass(frozen=True)
class Chunk:
    """What was predicted and what was done from one step on."""

    task: str
    predicted: NDArray[np.float32]
    """(h, a)"""
    recorded: NDArray[np.float32]
    """(m, a) the first m of them, up to the episode's end"""
    before: NDArray[np.float32]
    """(a,) the action before"""


class Errors(BaseModel):
    """Mean absolute errors; of the policy, of the mean action (`mean`), of holding still (`hold`)."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    dataset: str
    embodiment: str
    task: str
    """Instruction; empty for all."""
    chunks: int
    normalised: dict[str, float]
    """Over all steps and values that vary, in units in which the policy was trained."""
    by_step: dict[str, list[float]]
    """(h,) the same for each step of a chunk."""
    by_value: dict[str, list[float]]
    """(a,) in the units of `units`."""
    names: list[str]
    """(a,) of the action's values."""
    units: list[str]


def errors_of(chunks: Sequence[Chunk], normalizer: Normalizer, body: tuple[str, str], task: str = "") -> Errors:
    """Average over chunks of one robot in one dataset."""
    embodiment, dataset = body
    about = normalizer.of(embodiment, dataset).action
    varies = normalizer.varies(embodiment, "action", dataset)
    horizon = max(len(one.recorded) for one in chunks)
    sums = {name: np.zeros((horizon, about.dim)) for name in NAMES}
    scaled = {name: np.zeros((horizon, about.dim)) for name in NAMES}
    counts = np.zeros((horizon, 1))
    for one in chunks:
        m = len(one.recorded)
        counts[:m] += 1
        true = normalizer.normalize(embodiment, "action", one.recorded, dataset)
        for name, guess in _guesses(one, normalizer, body).items():
            sums[name][:m] += np.abs(guess[:m] - one.recorded)
            scaled[name][:m] += np.abs(normalizer.normalize(embodiment, "action", guess[:m], dataset) - true)
    by_step = {name: (total / counts)[:, varies].mean(axis=1) for name, total in scaled.items()}
    weights = counts[:, 0] / counts.sum()
    return Errors(
        dataset=dataset,
        embodiment=embodiment,
        task=task,
        chunks=len(chunks),
        normalised={name: float(values @ weights) for name, values in by_step.items()},
        by_step={name: values.tolist() for name, values in by_step.items()},
        by_value={name: (total.sum(axis=0) / counts.sum()).tolist() for name, total in sums.items()},
        names=list(about.names) or [f"value {i}" for i in range(about.dim)],
        units=list(about.units) or ["unknown"] * about.dim,
    )


def _guesses(one: Chunk, normalizer: Normalizer, body: tuple[str, str]) -> Mapping[str, NDArray[np.floating]]:
    embodiment, dataset = body
    still = normalizer.at_rest(embodiment, one.before, dataset)
    mean = normalizer.of(embodiment, dataset).action.mean
    rows = len(one.predicted)
    hold = one.before if still is None else still
    return {"policy": one.predicted, "mean": np.tile(mean, (rows, 1)), "hold": np.tile(hold, (rows, 1))}
