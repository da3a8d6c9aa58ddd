"""Settings of `villa eval libero`: what is played, and every constant that changes a score."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from dataengine.config import DAY_S, MOST, MOST_WORKERS
from pipelines.evaluation.calibrate.config import CALIBRATIONS
from pipelines.evaluation.config import Mismatched, RolloutConfig
from pipelines.evaluation.libero_rules import LiberoRules

BASELINES = ("random", "replay", "expert")
PICTURES = ("blank", "swapped")
MAX_STEPS = {"libero_spatial": 220, "libero_object": 280, "libero_goal": 300, "libero_10": 520, "libero_90": 400}
"""Control steps of an episode, after objects came to rest (OpenVLA, openpi)."""
NUM_OFFICIAL = 50
NUM_TASKS = {"libero_90": 90}
DEFAULT_TASKS = 10
DEFAULT_SUITE: Literal["libero_object"] = "libero_object"
Suite = Literal["libero_spatial", "libero_object", "libero_goal", "libero_10", "libero_90"]


def num_tasks(suite: str) -> int:
    """Count the tasks of a suite."""
    return NUM_TASKS.get(suite, DEFAULT_TASKS)


class LiberoConfig(RolloutConfig, LiberoRules):
    """A policy, or a baseline, on tasks of one suite."""

    policy: str = ""
    """Folder of a trained policy, or a baseline: `random`, `replay` (one recording of the expert, played blind),
    `expert` (looks into the simulation; LIBERO-Object only). Empty with `server`."""
    server: str = ""
    """Address of a policy server that speaks openpi's protocol: `ws://127.0.0.1:8000`. None is started then."""
    suite: Suite = DEFAULT_SUITE
    """Which tasks."""
    tasks: tuple[Annotated[int, Field(ge=0, lt=90)], ...] | None = None
    """Numbers of tasks in the suite, from 0 on; None for all."""
    episodes: int = Field(20, ge=1, le=MOST)
    """Starts of each task, the same for every policy; there are 50 official ones."""
    beside: tuple[Literal["random", "replay", "expert", "blank", "swapped"], ...] = ()
    """What is played on the same starts, to say what the rate is worth: baselines, and the policy itself with black
    pictures (`blank`) or with those of another task (`swapped`)."""
    workers: int = Field(2, ge=1, le=MOST_WORKERS)
    """Simulators side by side, each a process; one policy answers them all."""
    hang_s: float = Field(300.0, gt=0, le=DAY_S)
    """A simulator that says nothing for so long is ended; it costs the episode."""
    num_filmstrips: int = Field(2, ge=0, le=MOST)
    """Failed episodes of each task that are kept as filmstrips."""
    out: Path = Path("runs/eval_libero")
    """Folder of results and filmstrips."""
    name: str = ""
    """What the policy is called in the report; its folder's name when empty."""
    acts_as: str = ""
    """Which of the robot's datasets the policy acts as in, where it learnt several."""
    accept: tuple[Mismatched, ...] = ()
    """Differences between policy and simulator that are no reason to refuse: `rate`, `encoding`, `size`, `units`,
    `gripper`, `camera`, `range`."""
    device: str | None = None
    """`cpu`, `cuda` of the policy; by default the best there is."""
    calibrations: Path = CALIBRATIONS
    """Folder in which `villa eval calibrate libero` left what it saw."""
    uncalibrated: bool = False
    """Play in a simulator whose calibration failed."""

    @model_validator(mode="after")
    def _check(self) -> "LiberoConfig":
        if bool(self.policy) == bool(self.server):
            raise ValueError("give a policy, or --server, and not both")
        last = num_tasks(self.suite)
        wrong = [task for task in self.tasks or () if not 0 <= task < last]
        if wrong:
            raise ValueError(f"{self.suite} has no task {wrong[0]}, expected 0 to {last - 1}")
        if self.init_set == "official" and self.episodes > NUM_OFFICIAL:
            raise ValueError(f"episodes is {self.episodes}, there are {NUM_OFFICIAL} official starts of a task")
        if self.suite != "libero_object" and ("expert" in (self.policy, *self.beside) or self.init_set == "wide"):
            raise ValueError("the expert and wide starts know libero_object only")
        if self.suite != "libero_object" and "replay" in (self.policy, *self.beside):
            raise ValueError("replay plays what the expert did, which knows libero_object only")
        if self.policy in BASELINES and any(one in PICTURES for one in self.beside):
            raise ValueError("a baseline sees no pictures: `blank` and `swapped` are of policies")
        return self

    @property
    def played_tasks(self) -> tuple[int, ...]:
        """Numbers of the tasks that are played."""
        return self.tasks if self.tasks is not None else tuple(range(num_tasks(self.suite)))

    @property
    def step_limit(self) -> int:
        """Control steps of an episode."""
        return self.max_steps or MAX_STEPS[self.suite]

    @property
    def decider(self) -> str:
        """Folder or address of the policy, or the baseline."""
        return self.policy or self.server
