"""Draws what a policy intends: its latent plan, rendered frame by frame by the decoder of the LAM that it learnt from.

The policy samples n latent actions from one picture and an instruction, every slot is snapped to its nearest code, and
the visual forward model is fed its own output n times (villa-X, arXiv:2507.23682, appendix E). Above the rendered row
stands what happened in that episode.
"""

from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dataengine import texts
from dataengine.config import MOST, Config
from dataengine.errors import DataEngineError
from dataengine.formats.resize import resize
from dataengine.report import Report
from dataengine.windows.episode_info import EpisodeInfo, is_held_out
from dataengine.windows.window import EpisodeReader, LatentInfo, steps_per_latent
from models.fingerprint import fingerprint
from pipelines.evaluation.pictures import decoded
from pipelines.evaluation.simulators._base import Observation
from pipelines.output.folder import Before, claimed, sources_at

if TYPE_CHECKING:
    from torch import Tensor

    from models.lam import Lam
    from pipelines.evaluation.policy import ActPolicy

NO_STATE = np.zeros(0, np.float32)
"""A plan does without one."""
OLD_PLANS = Before(r"plan_\d\d\.png", lambda _: True)
GAP_PX = 2
"""White pixels between the pictures of a strip."""


class PlanConfig(Config):
    """Whose plans are drawn, and from which episodes."""

    renamed = MappingProxyType({"held_out": "val_fraction"})

    policy: str
    """Checkpoint of an ACT trained with latent actions."""
    lam: str
    """Checkpoint of the LAM whose latents it learnt."""
    data: str
    """Corpus or folder of shards that the episodes come from."""
    out: Path
    """Folder for the pictures."""
    clips: int = Field(4, ge=1, le=MOST)
    """How many episodes, spread over the instructions."""
    datasets: tuple[str, ...] = ()
    """Only these datasets, human ones too; empty for all robots. The policy need not know their bodies: a plan follows
    from a picture and an instruction."""
    val_fraction: float = Field(0.1, ge=0, lt=1)
    """Share of episodes that training never saw; plans are drawn for those only."""
    device: str | None = None
    """`cpu`, `cuda`; by default the best there is."""


class DrawnPlan(Report):
    """One plan."""

    image: Path
    instruction: str
    dataset: str
    episode_id: str
    held_out: bool
    """False where no episode was held out and one from training had to do."""
    code_agreement: float
    """Share of slots in which the plan names the code that the policy would have been taught there: that of the label,
    which the LAM read from what happened, and from what went before if that of the labels was."""


class PlanReport(Report):
    """The pictures, in the order of the instructions."""

    plans: list[DrawnPlan]

    def summary(self) -> str:
        """List the pictures."""
        return "\n".join(
            f"{p.image}: {p.instruction} ({p.code_agreement:.0%} of codes as happened)" for p in self.plans
        )


def run(config: PlanConfig) -> PlanReport:
    """Draw one strip for each chosen episode."""
    from pipelines.evaluation.policy import ActPolicy
    from pipelines.training.data import open_reader

    policy, reader = ActPolicy.load(config.policy, config.device), open_reader(config.data)
    lam = load_lam_of(policy, config.policy, config.lam)
    held_out = config.val_fraction
    interval_s = plan_interval_s(policy, lam)
    chosen = choose(reader, config.datasets, held_out, config.clips, interval_s)
    if not chosen:
        held_out, chosen = 0.0, choose(reader, config.datasets, 1.0, config.clips, interval_s)
    if not chosen:
        raise DataEngineError(f"{config.data}: found no robot episode of {config.datasets or 'any dataset'}")
    with claimed(config.out, "plan", before=OLD_PLANS, sources=sources_at(config.data)) as out:
        plans = []
        for i, episode in enumerate(chosen):
            start, image = _start(episode, interval_s), out.path(f"plan_{i:02d}.png")
            agreement = _draw(policy, lam, reader, episode, start, image)
            plans.append(
                DrawnPlan(
                    image=config.out / image.name,
                    instruction=texts.said_at(episode.texts, start),
                    dataset=episode.dataset,
                    episode_id=episode.episode_id,
                    held_out=is_held_out(episode, held_out),
                    code_agreement=agreement,
                )
            )
    return PlanReport(plans=plans)


def choose(
    reader: EpisodeReader, datasets: Sequence[str], held_out: float, clips: int, interval_s: float
) -> list[EpisodeInfo]:
    """Take held-out robot episodes, one of each instruction before a second of any; the same every time."""
    taken: dict[str, int] = {}
    ranked = []
    for episode in sorted(reader.episodes, key=lambda e: e.episode_id):
        wanted = episode.dataset in datasets if datasets else episode.kind == "robot"
        if wanted and is_held_out(episode, held_out):
            text = texts.said_at(episode.texts, _start(episode, interval_s))
            taken[text] = taken.get(text, 0) + 1
            ranked.append((taken[text], text, episode))
    ranked.sort(key=lambda ranking: ranking[:2])
    return [episode for _, _, episode in ranked[:clips]]


def _start(episode: EpisodeInfo, interval_s: float) -> int:
    """Choose a step of an episode's middle third, where the robot is busy, with room for a latent action."""
    return max(0, min(episode.num_steps // 3, episode.num_steps - 1 - steps_per_latent(episode.control_hz, interval_s)))


def _draw(
    policy: "ActPolicy", lam: "Lam", reader: EpisodeReader, episode: EpisodeInfo, start: int, image: Path
) -> float:
    """Plan from a step of an episode and what is said there, save the strip, return the agreement."""
    import torch
    from PIL import Image

    stride = steps_per_latent(episode.control_hz, plan_interval_s(policy, lam))
    (first,) = decoded(reader, episode, "primary", [start])
    seen = Observation(
        image=first,
        raw_state=NO_STATE,
        state=NO_STATE,
        embodiment=episode.embodiment,
        control_hz=episode.control_hz,
    )
    said = texts.said_at(episode.texts, start)
    planned = lam.snap(torch.as_tensor(policy.plan_batch([seen], [said]))[0])  # (n, k, d)
    frames = [start + i * stride for i in range(len(planned) + 1) if start + i * stride < episode.num_steps]
    happened = decoded(reader, episode, "primary", frames)
    strip = stack([happened, roll_out(lam, first, planned)])
    Image.fromarray(strip.repeat(2, axis=0).repeat(2, axis=1)).save(image)  # twice as large, pixels as they are
    rows = [frame for frame in frames[: len(planned)] if frame + stride < episode.num_steps]
    taught = _taught(policy, lam, reader, episode, rows)
    named = lam.vq.nearest(planned[: len(taught)]).numpy()
    return float((named == taught).mean()) if len(taught) else 0.0


def roll_out(lam: "Lam", first: NDArray[np.uint8], planned: "Tensor") -> list[NDArray[np.uint8]]:
    """Feed the decoder its own output, one snapped latent action (n, k, d) after another; begin with what is there."""
    import torch

    side = lam.config.resolution
    image = torch.as_tensor(resize(first, side, side)).permute(2, 0, 1)[None]
    pictures = []
    for latent in planned:
        image = lam.render(image, latent[None])
        pictures.append(image[0].permute(1, 2, 0).numpy())
    return [first, *pictures]


def load_lam_of(policy: "ActPolicy", where: str, lam: str) -> "Lam":
    """Read a LAM; refuse one whose codes mean something else than those of the policy that lies at `where`."""
    from models.weights import load_lam

    key = fingerprint(lam)
    if policy.latent is not None and policy.latent["fingerprint"] != key:
        raise DataEngineError(
            f"{lam} has fingerprint {key}, {where} plans latent actions '{policy.latent['name']}' of "
            f"{policy.latent['fingerprint']}; give the model that wrote them"
        )
    loaded, config = load_lam(Path(lam)), policy.model.config
    shapes = [(loaded.config.num_slots, loaded.config.latent_dim), (config.codes_per_latent, config.latent_dim)]
    if shapes[0] != shapes[1]:
        raise DataEngineError(
            f"{lam} has latent actions of {shapes[0][0]} codes of width {shapes[0][1]}, {where} plans {shapes[1][0]} "
            f"of width {shapes[1][1]}; give the model that wrote them"
        )
    return loaded


def plan_interval_s(policy: "ActPolicy", lam: "Lam") -> float:
    """Seconds between the frames of a plan: those of the labels, which may be others than the LAM's own."""
    return float(policy.latent["interval_s"]) if policy.latent is not None else lam.config.interval_s


def _taught(
    policy: "ActPolicy", lam: "Lam", reader: EpisodeReader, episode: EpisodeInfo, rows: Sequence[int]
) -> NDArray[np.int64]:
    """Give the codes (n, k) at some frames as `villa label` writes them: where the data has them, else read anew."""
    from pipelines.label.rows import read_rows

    codes = read_rows(lam, reader, episode, np.array(rows, np.int64), latent_info(policy, lam))[1]
    return codes[codes[:, 0] >= 0].astype(np.int64)


def latent_info(policy: "ActPolicy", lam: "Lam") -> LatentInfo:
    """Say what the latent actions are that a policy plans."""
    about = policy.latent or {}
    return LatentInfo(
        name=about.get("name", ""),
        fingerprint=about.get("fingerprint", ""),
        k=lam.config.num_slots,
        d=lam.config.latent_dim,
        interval_s=plan_interval_s(policy, lam),
        past_frames=about.get("past_frames", True),
    )


def stack(rows: Sequence[Sequence[NDArray[np.uint8]]]) -> NDArray[np.uint8]:
    """Lay rows of pictures below one another; every picture takes the smallest height and width among them."""
    side = min(min(picture.shape[:2]) for row in rows for picture in row)
    columns = max(len(row) for row in rows)
    step = side + GAP_PX
    strip = np.full((len(rows) * step - GAP_PX, columns * step - GAP_PX, 3), 255, np.uint8)
    for r, row in enumerate(rows):
        for c, picture in enumerate(row):
            strip[r * step : r * step + side, c * step : c * step + side] = resize(picture, side, side)
    return strip
