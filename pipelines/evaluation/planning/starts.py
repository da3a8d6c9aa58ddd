"""Steps from which plans begin: what is seen and said there, and what happened afterwards."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dataengine import texts
from dataengine.errors import DataEngineError
from dataengine.formats import jpeg
from dataengine.spread import spread
from dataengine.windows.episode_info import EpisodeInfo, is_held_out
from dataengine.windows.window import EpisodeReader, LatentInfo, steps_per_latent
from pipelines.evaluation.pictures import decoded
from pipelines.evaluation.planning.config import PlanningConfig

if TYPE_CHECKING:
    from models.lam import Lam
    from pipelines.evaluation.policy import ActPolicy


@dataclass(frozen=True, kw_only=True)
class Start:
    """One step of an episode."""

    episode: EpisodeInfo
    step: int
    instruction: str
    frames: list[NDArray[np.uint8]]
    """m + 1 pictures (height, width, 3) from this step on, one latent action apart; m is n, or less at an end."""
    latent: NDArray[np.float32]
    """(m, k, d) what happened, as the model says."""
    codes: NDArray[np.int64]
    """(m, k)"""


@dataclass(frozen=True, kw_only=True)
class StartGroup:
    """Starts of one embodiment in one dataset."""

    dataset: str
    embodiment: str
    kind: str
    status: str
    """What training can know of them."""
    chosen: list[tuple[EpisodeInfo, int]]


def choose_groups(
    config: PlanningConfig, reader: EpisodeReader, policy: "ActPolicy", interval_s: float, held_out: float
) -> list[StartGroup]:
    """Choose starts of every embodiment in every dataset; raise DataEngineError where there are none."""
    by_group = defaultdict[tuple[str, str], list[EpisodeInfo]](list)
    for episode in reader.episodes:
        wanted = not config.datasets or episode.dataset in config.datasets
        long_enough = episode.num_steps > steps_per_latent(episode.control_hz, interval_s)
        if wanted and long_enough and "primary" in episode.cameras:
            by_group[episode.dataset, episode.embodiment].append(episode)
    if not by_group:
        known = ", ".join(sorted({e.dataset for e in reader.episodes}))
        raise DataEngineError(
            f"{config.corpus}: no episode of {', '.join(config.datasets) or 'any dataset'} has a camera and spans a "
            f"latent action of {interval_s:g} s; datasets there: {known}"
        )
    return [_group(config, policy, episodes, interval_s, held_out) for _, episodes in sorted(by_group.items())]


def _group(
    config: PlanningConfig, policy: "ActPolicy", episodes: list[EpisodeInfo], interval_s: float, held_out: float
) -> StartGroup:
    first, status = episodes[0], "held out from training"
    seen = first.embodiment in policy.bodies if first.kind == "robot" else first.dataset in policy.framings
    if not seen:
        status = "embodiment never trained on" if first.kind == "robot" else "dataset never trained on"
    elif apart := [e for e in episodes if is_held_out(e, held_out)]:
        episodes = apart
    else:
        status = "trained on (none is held out)"
    starts = [
        (episode, step)
        for episode in episodes
        for step in range(episode.num_steps - steps_per_latent(episode.control_hz, interval_s))
    ]
    return StartGroup(
        dataset=first.dataset,
        embodiment=first.embodiment,
        kind=first.kind,
        status=status,
        chosen=[starts[i] for i in spread(len(starts), config.starts)],
    )


def read_starts(
    reader: EpisodeReader, lam: "Lam", chosen: Sequence[tuple[EpisodeInfo, int]], info: LatentInfo, num_latents: int
) -> list[Start]:
    """Read what is seen, said and happens at starts; those with a broken picture are left out."""
    starts = []
    for episode, step in chosen:
        stride = steps_per_latent(episode.control_hz, info.interval_s)
        rows = np.arange(step, min(step + num_latents * stride, episode.num_steps - stride), stride)
        try:
            start = _read(reader, lam, episode, rows, stride, info)
        except (ValueError, *jpeg.DAMAGE):
            continue
        if start is not None:
            starts.append(start)
    return starts


def _read(
    reader: EpisodeReader, lam: "Lam", episode: EpisodeInfo, rows: NDArray[np.int64], stride: int, info: LatentInfo
) -> Start | None:
    from pipelines.label.rows import read_rows

    latent, codes = read_rows(lam, reader, episode, rows, info)
    known = int((codes[:, 0] >= 0).cumprod().sum())  # labels end where a picture is broken
    if not known:
        return None
    return Start(
        episode=episode,
        step=int(rows[0]),
        instruction=texts.said_at(episode.texts, int(rows[0])),
        frames=decoded(reader, episode, "primary", (*rows[:known], rows[known - 1] + stride)),
        latent=latent[:known],
        codes=codes[:known].astype(np.int64),
    )
