"""What is compared, and when it is decided."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from dataengine.config import MOST, Seed
from pipelines.evaluation.config import EvalConfig, PlayConfig
from pipelines.evaluation.libero_rules import LIBERO, LiberoRules

MOST_PAIRS = 1_000_000
IN_PROCESS = (
    *("action_steps", "max_steps", "inference_delay", "continue_chunks", "ensemble", "noise", "num_euler_steps"),
    "demonstrations",
)
"""Settings that say how simulators of this environment play: LIBERO asks a server, which has settings of its own."""


class CompareConfig(PlayConfig):
    """Policies on the same starts, the first against each of the others."""

    policies: tuple[str, ...]
    """Folders of trained policies or baselines, which are played; or folders of finished evaluations, as FOLDER@NAME
    where one holds several policies."""
    budget: int = Field(200, ge=1, le=MOST_PAIRS)
    """Most starts, over all tasks together; less where it is decided before."""
    level: float = Field(0.05, gt=0, lt=0.5)
    """Probability, at most, of finding a difference where there is none, however often one looks."""
    min_difference: float = Field(0.0, ge=0, lt=1)
    """Share of starts below which a difference is none: ends with `equal` once it must be smaller; 0 never does."""
    pairs_per_look: int = Field(20, ge=1, le=MOST)
    """Starts that are handed out together; what is played beyond the one that decides is for nothing."""
    order_seed: Seed = 0
    """Shuffles starts over tasks: one task after another would take the first task's difference for all of them."""
    libero: LiberoRules = LiberoRules()
    """What an episode of `libero` is, in place of the settings of simulators that run in process."""
    out: Path = Path("runs/compare")
    """Folder of the episodes, the report and the picture."""

    @model_validator(mode="after")
    def _check_libero(self) -> Self:
        if self.simulator == LIBERO:
            unused = [key for key in IN_PROCESS if getattr(self, key) != CompareConfig.model_fields[key].get_default()]
            if unused:
                known = f"--set libero.{unused[0]}=..." if unused[0] in LiberoRules.model_fields else "leave it out"
                raise ValueError(f"{unused[0]} is of simulators that run in process, and not of libero; {known}")
        return self

    @model_validator(mode="after")
    def _check_policies(self) -> Self:
        if len(self.policies) < 2:
            raise ValueError(f"found {len(self.policies)} policy, expected two or more to compare")
        if len(set(self.policies)) < len(self.policies):
            raise ValueError("the same policy is named twice; its starts and seeds would be equal, too")
        return self

    def play(self, policy: str, index: int) -> EvalConfig:
        """Give the settings by which one of them is played."""
        shared = {key: getattr(self, key) for key in PlayConfig.model_fields}
        name = f"{'ABCDEFGHIJKLMNOPQRSTUVWXYZ'[index % 26]} {Path(policy).name}"
        return EvalConfig(**shared, policy=policy, name=name, out=self.out, num_filmstrips=0, episodes=self.budget)
