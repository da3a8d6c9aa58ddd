"""Weights of another policy in a model that may have more rows, more parts and adapters, and what came of each part."""

from collections.abc import Collection, Mapping

import torch
from pydantic import Field
from torch import Tensor

from dataengine.errors import DataEngineError
from dataengine.report import Report
from models.act import Act, ActConfig
from models.act.config import HEADS

PARTS = (
    *("vlm.vision.", "vlm.projector.", "vlm.embed.", "vlm.stack.", "latent."),
    *("robot.stack.", "robot.norm.", *HEADS, "robot.context."),
)
"""How names begin of what is told apart."""
TABLE = "robot.context.dataset.weight"
"""Its rows are datasets; row 0 stays untrained."""


class PartStart(Report):
    """Where the numbers of a part of the policy came from."""

    part: str
    loaded: int = 0
    """Numbers as they were in the checkpoint."""
    extended: int = 0
    """Numbers of new rows of a table: means of the rows that it had."""
    new: int = 0
    """Numbers newly initialised, adapters among them."""
    left_out: int = 0
    """Numbers of the checkpoint that this policy has no place for."""

    def summary(self) -> str:
        """Say it in a line."""
        counts = {
            "loaded": self.loaded,
            "extended by": self.extended,
            "newly initialised": self.new,
            "left out": self.left_out,
        }
        return f"{self.part}: {', '.join(f'{word} {count:,}' for word, count in counts.items() if count)}"


class WarmStart(Report):
    """What a fine-tuning began from."""

    checkpoint: str
    new_embodiments: list[str] = Field(default_factory=list)
    new_datasets: list[str] = Field(default_factory=list)
    statistics: dict[str, str] = Field(default_factory=dict)
    """Where each robot's quantiles are from: `reused`, `recomputed` or, for one that was not known, `measured`."""
    parts: list[PartStart] = Field(default_factory=list)

    def summary(self) -> str:
        """Say it in a line for each part, and one each for names and statistics."""
        lines = [f"begins from {self.checkpoint}", *(f"  {part.summary()}" for part in self.parts)]
        for title, names in (("embodiments", self.new_embodiments), ("datasets", self.new_datasets)):
            lines += [f"  new {title}: {', '.join(names)}"] if names else []
        origins = ", ".join(f"{name} {origin}" for name, origin in self.statistics.items())
        return "\n".join([*lines, f"  statistics: {origins}"])


def check_shapes(shape: ActConfig, theirs: Mapping[str, Tensor], checkpoint: str) -> None:
    """Raise DataEngineError where a weight of a policy has another shape than the settings ask for."""
    with torch.device("meta"):
        ours = Act(shape).state_dict()
    for name, value in ours.items():
        other = theirs.get(name)
        if other is not None and other.shape != value.shape and not _is_extended(name, other, value):
            raise DataEngineError(
                f"{checkpoint}: {name} is {list(other.shape)}, the settings ask for {list(value.shape)}; leave out the "
                f"settings `model.*` that change its architecture"
            )


def _is_extended(name: str, theirs: Tensor, ours: Tensor) -> bool:
    return name == TABLE and theirs.shape[1:] == ours.shape[1:] and len(theirs) < len(ours)


@torch.no_grad()
def load_matching(model: Act, theirs: Mapping[str, Tensor], anew: Collection[int]) -> list[PartStart]:
    """Copy weights by name, extend tables, leave the rest as initialised; heads of rows in `anew` are not copied."""
    by_part: dict[str, PartStart] = {}

    def count(name: str, **numbers: int) -> None:
        part = next((start.removesuffix(".") for start in PARTS if name.startswith(start)), name.rpartition(".")[0])
        before = by_part.get(part, PartStart(part=part))
        by_part[part] = before.model_copy(update={key: getattr(before, key) + n for key, n in numbers.items()})

    heads = tuple(f"{start}bodies.{row}." for start in HEADS for row in anew)
    ours = model.state_dict()
    for name, value in ours.items():
        other = theirs.get(name)
        if other is None or name.startswith(heads):
            count(name, new=value.numel())
        elif other.shape == value.shape:
            value.copy_(other)
            count(name, loaded=value.numel())
        else:
            value[: len(other)] = other
            value[len(other) :] = other[min(1, len(other) - 1) :].mean(0)
            count(name, loaded=other.numel(), extended=value.numel() - other.numel())
    for name in theirs.keys() - ours.keys():
        count(name, left_out=theirs[name].numel())
    return sorted(by_part.values(), key=lambda part: part.part)
