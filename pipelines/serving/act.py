"""`villa act`: what a policy would do now, given pictures and numbers, or a step of a recorded episode."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from dataengine import texts
from dataengine.config import MOST, Config, Seed
from dataengine.errors import DataEngineError
from dataengine.formats import files
from dataengine.report import Report
from pipelines.evaluation.policy import Precision
from pipelines.output.text_table import text_table
from pipelines.serving.config import ServeConfig
from pipelines.serving.engine import PolicyEngine
from pipelines.serving.replay import find_episode

StateValue = Annotated[float, Field(ge=-1e6, le=1e6)]

MAX_BYTES = 2**28
"""Of a picture's file."""


class ActConfig(Config):
    """Who acts, and what it sees."""

    policy: str
    """Folder of the trained policy."""
    image: Path | None = None
    """Picture of the primary camera, JPEG or PNG."""
    wrist: Path | None = None
    """Picture of the wrist camera, where the policy reads one."""
    state: tuple[StateValue, ...] | None = None
    """Canonical state in house units: metres, radians, grippers 0 closed to 1 open."""
    instruction: str = ""
    """What the robot should do."""
    corpus: str = ""
    """`CORPUS@EPISODE`: take from a recorded episode what is not given."""
    step: int = Field(0, ge=0, le=MOST)
    """Which step of the episode."""
    embodiment: str = ""
    """Robot that acts; by default the episode's, or the policy's only one. Another one than the episode's takes its
    pictures and instruction only: state and actions are not its own."""
    acts_as: str = ""
    """Which of the robot's datasets to act as in; by default its commonest one."""
    require_wrist: bool = True
    """Refuse to act without a wrist picture where the policy reads one."""
    noise: Literal["zero", "normal"] = "zero"
    """What actions are denoised from: the mean of the noise, which makes them repeatable, or a draw of it."""
    seed: Seed = 0
    """Of the drawn noise."""
    precision: Precision = "fp32"
    """Of weights and products: `bf16` to see what it does to the actions, before a robot is served so."""
    device: str | None = None
    """`cpu`, `cuda` ...; by default the best there is."""

    @model_validator(mode="after")
    def _has_an_episode(self) -> "ActConfig":
        if self.step and not self.corpus:
            raise ValueError("step is one of a recorded episode; give --corpus CORPUS@EPISODE, or leave it out")
        return self


class ActReport(Report):
    """One chunk of actions."""

    embodiment: str
    dataset: str
    rate_hz: float
    """Actions in a second."""
    names: list[str]
    """Of the action's values; empty where the checkpoint does not say."""
    units: list[str]
    actions: list[list[float]]
    """(h, a) canonical, house units, the first one first."""
    latents: list[list[list[float]]]
    """(n, k, d) the plan behind them; empty for a policy without latent actions."""
    recorded: list[list[float]]
    """(h, a) what was done in the recorded episode, as far as it goes; empty without one."""
    warning: str = ""
    """What is odd about the observation."""

    def summary(self) -> str:
        """Print a row per action."""
        width = len(self.actions[0])
        names = self.names or [f"value {i}" for i in range(width)]
        head = ["step", *(f"{n} ({u})" if u else n for n, u in zip(names, self.units or [""] * width, strict=True))]
        rows = [[i, *(f"{x:.4f}" for x in action)] for i, action in enumerate(self.actions)]
        lines = [text_table(head, rows), f"{self.embodiment}, {len(rows)} actions at {self.rate_hz:g} Hz"]
        lines += [f"warning: {self.warning}"] if self.warning else []
        if self.recorded:
            off = np.abs(np.array(self.actions[: len(self.recorded)]) - np.array(self.recorded)).mean(axis=0)
            distances = ", ".join(f"{name} {x:.4f}" for name, x in zip(names, off, strict=True))
            lines.append(f"mean distance from what was recorded: {distances}")
        return "\n".join(lines)


def run(config: ActConfig) -> ActReport:
    """Act once."""
    seen, body = _recorded(config) if config.corpus else ({}, ("", ""))
    if config.embodiment not in ("", body[0]):
        seen, body = {key: value for key, value in seen.items() if key not in ("state", "recorded")}, ("", "")
    recorded = seen.pop("recorded", None)
    seen |= _given(config)
    serve = ServeConfig(
        policy=config.policy,
        embodiment=config.embodiment or body[0],
        acts_as=config.acts_as or _known_dataset(config.policy, body),
        require_wrist=config.require_wrist,
        noise=config.noise,
        seed=config.seed,
        precision=config.precision,
        device=config.device,
    )
    engine = PolicyEngine(serve)
    served = engine.metadata()
    if not served["embodiment"]:
        raise DataEngineError(f"{config.policy}: knows {', '.join(served['embodiments'])}; say which by --embodiment")
    if config.wrist is not None and "wrist" not in served["cameras"]:
        raise DataEngineError(f"{config.policy}: reads no wrist camera, found --wrist {config.wrist}; leave it out")
    request = engine.request({**seen, "plan": bool(served["plan"])}, config.step)
    (reply,) = engine.answer([request])
    about = engine.metadata(request.embodiment)
    return ActReport(
        embodiment=request.embodiment,
        dataset=about["dataset"],
        rate_hz=about["rate_hz"],
        names=about["action_names"],
        units=about["action_units"],
        actions=reply.actions.tolist(),
        latents=[] if reply.latents is None else reply.latents.tolist(),
        recorded=[] if recorded is None else recorded[: len(reply.actions)].tolist(),
        warning=request.warning,
    )


def read_picture(path: Path) -> bytes:
    """Read the file of a picture; what it holds is looked at later."""
    try:
        return files.read_bytes(path, MAX_BYTES, str(path))
    except DataEngineError as error:
        raise DataEngineError(f"{error}; give a JPEG or PNG") from error


def _given(config: ActConfig) -> dict[str, Any]:
    """Take what the settings say."""
    pictures = {"image": config.image, "wrist": config.wrist}
    observation: dict[str, Any] = {key: read_picture(path) for key, path in pictures.items() if path is not None}
    if config.state is not None:
        observation["state"] = np.array(config.state)
    if config.instruction:
        observation["instruction"] = config.instruction
    return observation


def _recorded(config: ActConfig) -> tuple[dict[str, Any], tuple[str, str]]:
    """Take what a robot saw and felt at a step of an episode, and what it did; say its embodiment and dataset."""
    from pipelines.evaluation.pictures import decoded
    from pipelines.training.data import open_reader

    uri, _, wanted = config.corpus.rpartition("@")
    if not uri or not wanted:
        raise DataEngineError(f"--corpus {config.corpus}: expected CORPUS@EPISODE; `villa show CORPUS` names some")
    reader = open_reader(uri)
    episode = find_episode(reader, wanted)
    if config.step >= episode.num_steps:
        raise DataEngineError(f"{config.corpus}: has {episode.num_steps} steps, found --step {config.step}")
    cameras = {"image": "primary", "wrist": "wrist"}
    observation: dict[str, Any] = {
        key: decoded(reader, episode, slot, [config.step])[0]
        for key, slot in cameras.items()
        if slot in episode.cameras
    }
    state, action = reader.state(episode.row), reader.action(episode.row)
    if state is not None:
        observation["state"] = state[config.step]
    if action is not None:
        observation["recorded"] = action[config.step :]
    if text := texts.said_at(episode.texts, config.step):
        observation["instruction"] = text
    return observation, (episode.embodiment, episode.dataset)


def _known_dataset(policy: str, body: tuple[str, str]) -> str:
    """Name the episode's dataset where the policy was trained on the robot in it."""
    from pipelines.training.act.stated import stated

    embodiment, dataset = body
    bodies = stated(policy)[1]["bodies"]
    about = bodies.get(embodiment) if isinstance(bodies, Mapping) else None
    datasets = about.get("datasets") if isinstance(about, Mapping) else None
    return dataset if isinstance(datasets, Mapping) and dataset in datasets else ""
