"""`villa plan`: what a policy intends in any picture, of an embodiment that training never saw as well.

A plan follows from a picture and an instruction alone. Its latent actions are snapped to codes and become frames by the
decoder of their latent action model, or by a world model.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dataengine.config import Config, Seed
from dataengine.errors import DataEngineError, NoCameraError
from dataengine.formats import files, jpeg
from dataengine.formats.resize import resize
from dataengine.report import Report
from pipelines.evaluation.plan import NO_STATE, load_lam_of, plan_interval_s, roll_out, stack
from pipelines.evaluation.simulators._base import Observation
from pipelines.evaluation.video import write_video
from pipelines.output.folder import claimed

if TYPE_CHECKING:
    from torch import Tensor

    from pipelines.evaluation.policy import ActPolicy

MAX_BYTES = 2**28
"""Of a picture's file."""
VIDEO_HZ = 10
"""Frames in a second of the video, each of the plan's shown as long as it takes."""


class PlanPictureConfig(Config):
    """Whose plan, from which picture."""

    policy: str
    """Folder of a policy that was trained with latent actions."""
    image: Path
    """Picture, JPEG or PNG: of a robot, a hand, a table."""
    instruction: str
    """What should be done."""
    lam: str
    """Folder of the latent action model whose latent actions the policy learnt."""
    world: str = ""
    """Folder of a world model that predicts the frames, in place of the decoder of `lam`."""
    out: Path = Path("runs/plan")
    """Folder for the frames, a strip of all of them, and a video."""
    noise: Literal["zero", "normal"] = "zero"
    """What the plan is denoised from: the mean of the noise, which makes it repeatable, or a draw of it."""
    seed: Seed = 0
    """Of the drawn noise."""
    scale: int = Field(2, ge=1, le=16)
    """How much larger pictures are written than they are predicted."""
    device: str | None = None
    """`cpu`, `cuda` ...; by default the best there is."""


class PlanPictureReport(Report):
    """A plan and its pictures."""

    codes: list[list[int]]
    """(n, k) of the plan, in order."""
    interval_s: float
    """Seconds between frames."""
    predicted_by: str
    frames: list[Path]
    """PNG of what is there, then of what each latent action leads to."""
    strip: Path
    video: Path

    def summary(self) -> str:
        """Print the codes and where the pictures are."""
        codes = " ".join("-".join(map(str, row)) for row in self.codes)
        lines = [f"codes: {codes}", f"{len(self.frames)} frames, {self.interval_s:g} s apart, by {self.predicted_by}"]
        return "\n".join([*lines, f"strip: {self.strip}", f"video: {self.video}"])


def run(config: PlanPictureConfig) -> PlanPictureReport:
    """Plan from one picture and write what it leads to."""
    import torch

    from pipelines.evaluation.policy import ActPolicy

    first, text = _read(config.image), _said(config.instruction)
    policy = ActPolicy.load(config.policy, config.device, noise=config.noise, seed=config.seed)
    most = policy.model.config.vlm.text_length
    if (count := policy.tokenizer.num_tokens(text)) > most:
        raise DataEngineError(f"--instruction has {count} tokens, the policy reads {most}; say it in fewer words")
    lam = load_lam_of(policy, config.policy, config.lam)
    seen = Observation(image=first, raw_state=NO_STATE, state=NO_STATE, embodiment="", control_hz=0.0)
    planned = lam.snap(torch.as_tensor(policy.plan_batch([seen], [text]))[0])  # (n, k, d)
    frames = _by_world(config.world, policy, first, planned) if config.world else roll_out(lam, first, planned)
    codes = lam.vq.nearest(planned).tolist()
    seconds = plan_interval_s(policy, lam)
    with claimed(config.out, "plan") as out:
        pictures = [_large(frame, frames[-1].shape[0], config.scale) for frame in frames]
        names = [out.path(f"frame_{i:02d}.png") for i in range(len(pictures))]
        strip, video = out.path("strip.png"), out.path("plan.mp4")
        for name, picture in zip([*names, strip], [*pictures, stack([pictures])], strict=True):
            _save(name, picture)
        shown = (picture for picture in pictures for _ in range(max(1, round(seconds * VIDEO_HZ))))
        write_video(video, shown, VIDEO_HZ, "libx264")
    return PlanPictureReport(
        codes=codes,
        interval_s=seconds,
        predicted_by=config.world or config.lam,
        frames=[config.out / name.name for name in names],
        strip=config.out / strip.name,
        video=config.out / video.name,
    )


def _read(path: Path) -> NDArray[np.uint8]:
    """Read a picture; raise DataEngineError where there is none."""
    try:
        data = files.read_bytes(path, MAX_BYTES, str(path))
    except DataEngineError as error:
        raise DataEngineError(f"{error}; give a JPEG or PNG") from error
    try:
        return jpeg.decode(data)
    except (*jpeg.DAMAGE, NoCameraError) as error:
        raise DataEngineError(f"{path}: {error}; give a JPEG or PNG") from error


def _said(instruction: str) -> str:
    if not instruction.strip():
        raise DataEngineError("--instruction is empty, expected what should be done, such as 'close the window'")
    return instruction


def _by_world(
    where: str, policy: "ActPolicy", first: NDArray[np.uint8], planned: "Tensor"
) -> Sequence[NDArray[np.uint8]]:
    """Predict the frames (side, side, 3) of a plan by a world model, what is there before them."""
    import torch

    from models.weights import load_world, read_config

    world = load_world(where)
    known = read_config(where).get("latent")
    key = known.get("fingerprint") if isinstance(known, dict) else None
    if policy.latent is not None and key != policy.latent["fingerprint"]:
        raise DataEngineError(
            f"{where}: predicts frames of latent actions of {key}, the policy plans those of "
            f"{policy.latent['fingerprint']}; give a world model that was trained on the same labels"
        )
    side = world.config.resolution
    history = torch.as_tensor(resize(first, side, side)).permute(2, 0, 1)[None, None]
    frames = world.render(history, planned[None])[0].permute(0, 2, 3, 1).numpy()
    return [first, *frames]


def _large(picture: NDArray[np.uint8], side: int, scale: int) -> NDArray[np.uint8]:
    """Make a picture as large as the predicted ones, then larger, pixels as they are."""
    return resize(picture, side, side).repeat(scale, axis=0).repeat(scale, axis=1)


def _save(path: Path, picture: NDArray[np.uint8]) -> None:
    from PIL import Image

    Image.fromarray(picture).save(path)
