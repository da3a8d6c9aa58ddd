"""Settings of `villa serve`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from dataengine.config import MOST, Seed
from pipelines.evaluation.chunks import ChunkConfig
from pipelines.evaluation.policy import Precision
from pipelines.serving.convention import Convention

FIELDS = ("image", "wrist", "state", "instruction", "embodiment")
"""What an observation is made of."""

OF_POLICIES = (
    "convention",
    "acts_as",
    "require_wrist",
    "noise",
    "num_euler_steps",
    "precision",
    "compile",
    "lam",
)
"""Settings that an episode that is replayed has no use for."""


class ServeConfig(ChunkConfig):
    """What is served, to whom, and how."""

    policy: str = ""
    """Folder of a trained policy; empty with `replay`."""
    host: str = "127.0.0.1"
    """Address to listen on. Any but the machine's own needs a token, in the environment variable `VILLA_SERVE_TOKEN` or
    in `token_file`; clients send it as `Authorization: Api-Key TOKEN`."""
    port: int = Field(8000, ge=0, le=65535)
    """0 takes a free one, which is printed."""
    token_file: Path | None = None
    """File whose first line is the token."""
    embodiment: str = ""
    """Robot that is served; by default the policy's only one, else each observation names its own."""
    acts_as: str = ""
    """Which of the robot's datasets to act as in: its scale, controller and rate; by default its commonest one."""
    action_steps: int = Field(0, ge=0, le=MOST)
    """Actions of a chunk that a robot executes before it asks again: `action_horizon` of the metadata, and what a
    client of vla-eval gets one by one; 0 for the whole chunk."""
    keys: Mapping[str, list[str]] = Field(default_factory=dict)
    """What clients call `image`, `wrist`, `state`, `instruction` and `embodiment`, in place of the names that openpi
    and vla-eval use; a state of several parts is joined in this order: `keys.state=[joints, gripper]`."""
    convention: Convention = "canonical"
    """Numbers of states and actions: canonical as in a corpus (metres, radians, gripper 0 closed, 1 open), or `libero`:
    what its simulator says and takes, for clients that convert nothing, such as those of openpi and vla-eval."""
    require_wrist: bool = True
    """Refuse observations without a wrist picture where the policy reads one."""
    max_batch: int = Field(16, ge=1, le=1024)
    """Observations of different clients that are answered at once."""
    batch_wait_ms: float = Field(2.0, ge=0, le=1000)
    """How long an observation waits for those of the other clients; a single client never waits."""
    max_clients: int = Field(64, ge=1, le=10_000)
    """Connections at a time."""
    noise: Literal["zero", "normal"] = "zero"
    """What actions are denoised from: the mean of the noise, which makes them repeatable, or a draw of it."""
    seed: Seed = 0
    """Of the drawn noise."""
    num_euler_steps: int = Field(0, ge=0, le=MOST)
    """Euler steps from noise to actions; 0 takes as many as the policy's settings say."""
    precision: Precision = "fp32"
    """Of weights and products. `bf16` halves memory and is several times as fast on a GPU; it changes actions by about
    0.01 of their normalised range, 1."""
    compile: bool = False
    """Fuse the operators of a prediction with torch.compile; the server is warm a minute later."""
    lam: str = ""
    """Latent action model whose decoder predicts the frames of a plan, for clients that ask for `frames`."""
    replay: str = ""
    """`CORPUS@EPISODE`: serve the actions of a recorded episode, whatever is seen; needs no policy."""
    record: Path | None = None
    """Folder of a LeRobot dataset to which every session is written, for `villa ingest lerobot`."""
    device: str | None = None
    """`cpu`, `cuda` ...; by default the best there is."""

    @model_validator(mode="after")
    def _check(self) -> "ServeConfig":
        if bool(self.policy) == bool(self.replay):
            raise ValueError("give a policy, or --replay CORPUS@EPISODE, and not both")
        idle = [name for name in OF_POLICIES if getattr(self, name) != type(self).model_fields[name].default]
        if self.replay and idle:
            raise ValueError(
                f"{idle[0]} is {getattr(self, idle[0])}, which is of policies; replay gives what was recorded"
            )
        unknown = sorted(set(self.keys) - set(FIELDS))
        if unknown:
            raise ValueError(f"keys names '{unknown[0]}', which no observation has; known: {', '.join(FIELDS)}")
        several = sorted(key for key, names in self.keys.items() if key != "state" and len(names) != 1)
        if several or not all(self.keys.values()):
            raise ValueError("keys has one name for each field, and one or more for 'state'")
        return self.checked(self.action_steps)
