"""What `villa eval` plays, where, and how often."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Self

from pydantic import Field, model_validator

from dataengine.config import DAY_S, MOST, MOST_WORKERS, Config
from pipelines.evaluation.calibrate.config import CALIBRATIONS
from pipelines.evaluation.chunks import ChunkConfig

Mismatched = Literal["rate", "encoding", "size", "units", "gripper", "camera", "range"]
"""In what a policy and a simulator may differ."""
BASELINES = ("random", "replay", "expert")
"""What may stand in place of a policy's folder."""


class PlayConfig(ChunkConfig):
    """How policies are played, and where."""

    simulator: str = "metaworld"
    """Where to play."""
    tasks: tuple[str, ...] | None = None
    """What to play; None: `button-press-topdown`, `window-close` and `window-open` of `metaworld`, the benchmark's own
    of `simpler`, all of another."""
    demonstrations: str = ""
    """Corpus that `replay` takes its demonstrations from."""
    acts_as: str = ""
    """Which of the robot's datasets the policy acts as in, and `replay` replays: its scale, controller and rate. By
    default that of the simulator's recordings, else the one that has most of the robot's steps."""
    action_steps: int = Field(4, ge=1, le=MOST)
    """Actions of a chunk that are executed before the policy looks again."""
    inference_delay: int = Field(0, ge=0, le=MOST)
    """Control steps that pass while the policy computes: meanwhile a robot goes on with the chunk before, as a real one
    does. 0 lets the world stand still."""
    continue_chunks: bool = False
    """Real-time chunking: each chunk is sampled so that it continues what is executed meanwhile; without it the policy
    knows nothing of that."""
    max_steps: int = Field(0, ge=0, le=MOST)
    """Control steps of an episode; 0 for the simulator's own limit."""
    num_envs: int = Field(10, ge=1, le=MOST_WORKERS)
    """Episodes that one process plays side by side."""
    processes: int = Field(2, ge=1, le=MOST_WORKERS)
    """Processes that play side by side, each another task."""
    num_videos: int = Field(2, ge=0, le=MOST)
    """Failed episodes per task that are kept as videos, of what a policy saw."""
    step_timeout_s: float = Field(300.0, gt=0, le=DAY_S)
    """A simulator that does not answer for so long is given up: it costs the episode that it was in. One that takes
    longer to be set up stops the command."""
    seed_offset: int = Field(0, ge=0, le=MOST)
    """Which of the unseen starts is the first."""
    accept: tuple[Mismatched, ...] = ()
    """Differences between policy and simulator that are no reason to refuse: `rate`, `encoding`, `size`, `units`,
    `gripper`, `camera`, `range`."""
    calibration: Path = CALIBRATIONS
    """Folder in which `villa eval calibrate` keeps what it found."""
    uncalibrated: bool = False
    """Play although the simulator's calibration failed; the table says so."""
    noise: Literal["zero", "normal"] = "zero"
    """What a policy's actions are denoised from: the mean of the noise, which makes them repeatable, or a draw of it,
    as in the paper."""
    num_euler_steps: int = Field(0, ge=0, le=MOST)
    """Euler steps from noise to actions; 0 for as many as the policy's settings say."""
    device: str | None = None
    """`cpu`, `cuda`; by default the best there is. Simulations run on processors in any case."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.inference_delay > self.action_steps:
            raise ValueError(
                f"inference_delay is {self.inference_delay}, more than action_steps ({self.action_steps}): the next "
                f"look would come before the answer to this one"
            )
        return self.checked(self.action_steps)


class RolloutConfig(Config):
    """What becomes of all that a policy saw and did; every step is drawn for it."""

    record: Path | None = None
    """Folder of a LeRobot dataset of all that the policy played, successes and failures, for `villa ingest lerobot`: a
    new one, or one that the same command began."""
    mine_failures: str = ""
    """Corpus, or folder of shards, that the policy was trained on: failures are listed beside the episodes of it that
    move most like them."""
    lam: Path | None = None
    """Folder of the latent action model that `mine_failures` compares by."""

    @model_validator(mode="after")
    def _mines_by_a_model(self) -> Self:
        if bool(self.mine_failures) != (self.lam is not None):
            raise ValueError(
                "mine_failures (a corpus) and lam (the latent action model that compares) belong together, got one of "
                "them; give both"
            )
        return self

    @property
    def records(self) -> bool:
        """Whether episodes are kept with what was seen and done at every step."""
        return self.record is not None or bool(self.mine_failures)


class EvalConfig(RolloutConfig, PlayConfig):
    """What is played, where, and how often."""

    renamed = MappingProxyType(
        {
            "execute": "action_steps",
            "robots": "num_envs",
            "told": "instruction_override",
            "filmed": "num_filmstrips",
            "first_start": "seed_offset",
        }
    )

    policy: str
    """Folder of a trained policy, the address of a policy server (`ws://127.0.0.1:8000`), or a baseline: `random`,
    `replay` (mean demonstration, eyes closed), `expert`."""
    episodes: int = Field(20, ge=1, le=MOST)
    """Unseen starts per task; every policy gets the same ones."""
    out: Path = Path("runs/eval")
    """Folder of results, filmstrips and videos."""
    name: str = ""
    """What the policy is called in the report; its folder's name when empty."""
    instruction_override: Mapping[str, str] = Field(default_factory=dict)
    """Task to another task, whose instruction the policy gets instead of its own: does it follow the text?"""
    num_filmstrips: int = Field(2, ge=0, le=MOST)
    """Episodes per task that are kept as filmstrips."""
