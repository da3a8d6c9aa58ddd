"""Settings of `villa eval libero`: what is played, and every constant that changes a score."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from dataengine.config import DAY_S, MOST, MOST_WORKERS, Config
from pipelines.evaluation.calibrate.config import CALIBRATIONS

BASELINES = ("random", "replay", "expert")
PICTURES = ("blank", "swapped")
MAX_STEPS = {"libero_spatial": 220, "libero_object": 280, "libero_goal": 300, "libero_10": 520, "libero_90": 400}
"""Control steps of an episode, after objects came to rest (OpenVLA, openpi)."""
NUM_OFFICIAL = 50
NUM_TASKS = {"libero_90": 90}
DEFAULT_TASKS = 10
Suite = Literal["libero_spatial", "libero_object", "libero_goal", "libero_10", "libero_90"]


class LiberoConfig(Config):
    """A policy, or a baseline, on tasks of one suite."""

    policy: str = ""
    """Folder of a trained policy, or a baseline: `random`, `replay` (one recording of the expert, played blind),
    `expert` (looks into the simulation; LIBERO-Object only). Empty with `server`."""
    server: str = ""
    """Address of a policy server that speaks openpi's protocol: `ws://127.0.0.1:8000`. None is started then."""
    suite: Suite = "libero_object"
    """Which tasks."""
    tasks: tuple[Annotated[int, Field(ge=0, lt=90)], ...] | None = None
    """Numbers of tasks in the suite, from 0 on; None for all."""
    episodes: int = Field(20, ge=1, le=MOST)
    """Starts of each task, the same for every policy; there are 50 official ones."""
    init_set: Literal["official", "random", "wide"] = "official"
    """`official`: the benchmark's starts, hardly different from one another. `random`: fresh draws of the same layout.
    `wide`: objects lie anywhere on the floor, so that only who looks can find them (LIBERO-Object)."""
    beside: tuple[Literal["random", "replay", "expert", "blank", "swapped"], ...] = ()
    """What is played on the same starts, to say what the rate is worth: baselines, and the policy itself with black
    pictures (`blank`) or with those of another task (`swapped`)."""
    action_steps: int = Field(5, ge=1, le=MOST)
    """Actions of a chunk that are executed before the policy looks again."""
    gripper: Literal["continuous", "binary"] = "continuous"
    """`continuous` hands over the gripper's command as the policy says it; `binary` makes -1 or +1 of it, +1 of 0."""
    settle_steps: int = Field(10, ge=0, le=MOST)
    """Control steps in which objects come to rest, before the first look and on top of `max_steps`."""
    max_steps: int = Field(0, ge=0, le=MOST)
    """Control steps of an episode; 0 for the suite's own: 220, 280, 300, 520, 400."""
    success: Literal["any", "end"] = "any"
    """Whether an episode counts that is solved at any step, which ends it, or at the last one."""
    image_size: int = Field(256, ge=16, le=1024)
    """Side of the cameras' pictures; 128 in LIBERO's own recordings, 256 in those that policies are trained on."""
    render_quality: Literal["full", "fast"] = "full"
    """`fast` draws without shadows, reflections and smoothed edges: several times faster on a CPU."""
    workers: int = Field(2, ge=1, le=MOST_WORKERS)
    """Simulators side by side, each a process; one policy answers them all."""
    num_filmstrips: int = Field(2, ge=0, le=MOST)
    """Failed episodes of each task that are kept as filmstrips."""
    hang_s: float = Field(300.0, gt=0, le=DAY_S)
    """A simulator that says nothing for so long is ended; it costs the episode."""
    out: Path = Path("runs/eval_libero")
    """Folder of results and filmstrips."""
    name: str = ""
    """What the policy is called in the report; its folder's name when empty."""
    acts_as: str = ""
    """Which of the robot's datasets the policy acts as in, where it learnt several."""
    embodiment: str = "franka"
    """What LIBERO's robot is called in the policy's corpus."""
    python: str = ""
    """Python of the environment that `make sim-libero` makes; by default `.venv-libero/bin/python`, or what the
    environment variable `VILLA_LIBERO_PYTHON` says."""
    device: str | None = None
    """`cpu`, `cuda` of the policy; by default the best there is."""
    calibrations: Path = CALIBRATIONS
    """Folder in which `villa eval libero-calibrate` left what it saw."""
    uncalibrated: bool = False
    """Play in a simulator whose calibration failed."""

    @model_validator(mode="after")
    def _check(self) -> "LiberoConfig":
        if bool(self.policy) == bool(self.server):
            raise ValueError("give a policy, or --server, and not both")
        last = NUM_TASKS.get(self.suite, DEFAULT_TASKS)
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
        return self.tasks if self.tasks is not None else tuple(range(NUM_TASKS.get(self.suite, DEFAULT_TASKS)))

    @property
    def step_limit(self) -> int:
        """Control steps of an episode."""
        return self.max_steps or MAX_STEPS[self.suite]
