"""What is to be repeated: frames of videos or episodes, latent actions between them, and ways of hands."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dataengine import texts
from dataengine.errors import DataEngineError, RecordError
from dataengine.formats import jpeg
from dataengine.formats.resize import resize
from dataengine.framing import Framing
from dataengine.shards.reader import is_shards
from dataengine.vector_layout import VectorLayout, join_names
from dataengine.windows.episode_info import is_held_out
from dataengine.windows.stats import Statistics
from dataengine.windows.window import EpisodeReader, steps_per_latent
from pipelines.evaluation.held_out import held_out_by
from pipelines.evaluation.pictures import decoded
from pipelines.evaluation.transfer.config import TransferConfig

if TYPE_CHECKING:
    from models.lam import Lam


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A motion to be repeated."""

    name: str
    instruction: str
    frames: list[NDArray[np.uint8]]
    """n + 1 pictures (height, width, 3), `interval_s` apart."""
    latent: NDArray[np.float32]
    """(n, k, d) from each frame to the next."""
    motion: NDArray[np.float32] | None
    """(n, 3) metres that the hand went; None where nobody says."""
    held_out: bool = True
    """False for an episode of a corpus that the model's training did not hold out."""


def read_clips(config: TransferConfig, lam: "Lam") -> tuple[list[Clip], dict[str, str]]:
    """Read what is to be repeated, and say why some of it cannot be; raise DataEngineError where nothing can."""
    from dataengine.store import Corpus

    (first, *others) = config.videos
    is_data = [is_shards(each) or Corpus.exists(each) for each in config.videos]
    if any(is_data) and others:
        raise DataEngineError(f"found {len(config.videos)} arguments, expected videos alone or one corpus alone")
    clips, rejected = _of_episodes(config, first, lam) if is_data[0] else _of_videos(config, lam)
    return _apart(clips), rejected


def _apart(clips: Sequence[Clip]) -> list[Clip]:
    """Tell clips of one name apart by numbers: videos of several folders may be called alike, and files are."""
    taken, apart = {clip.name for clip in clips}, dict[str, Clip]()
    for clip in clips:
        numbered = (f"{clip.name}-{number}" for number in count(2))
        name = next(one for one in numbered if one not in taken | apart.keys()) if clip.name in apart else clip.name
        apart[name] = replace(clip, name=name)
    return [*apart.values()]


def _of_videos(config: TransferConfig, lam: "Lam") -> tuple[list[Clip], dict[str, str]]:
    from pipelines.label.config import LabelVideoConfig
    from pipelines.label.video import find_videos, framing_of

    settings = LabelVideoConfig(
        videos=config.videos, lam=config.lam, out=config.out, fit=config.fit, frame_size=config.frame_size
    )
    framing, clips, rejected = framing_of(settings), list[Clip](), dict[str, str]()
    for file in find_videos(config.videos):
        try:
            frames = _frames(file, lam.config.interval_s, config.max_s, framing)
        except RecordError as error:
            rejected[file] = str(error)
            continue
        clips.append(
            Clip(name=Path(file).stem, instruction="", frames=frames, latent=_latent(lam, frames), motion=None)
        )
    if not clips:
        raise DataEngineError("; ".join(f"{Path(file).parent / why}" for file, why in rejected.items()))
    return clips, rejected


def _frames(file: str, interval_s: float, max_s: float, framing: Framing) -> list[NDArray[np.uint8]]:
    """Decode the longest stretch without a gap, `interval_s` apart; raise RecordError where it is too short."""
    from dataengine.formats.video import video

    stretches: list[list[NDArray[np.uint8]]] = []
    for _, picture, begins in video.stretches(file, 1 / interval_s, framing):
        if begins:
            stretches.append([])
        stretches[-1].append(picture)
        if len(stretches[-1]) > max_s / interval_s:
            break
    longest = max(stretches, key=len)
    if len(longest) < 2:
        raise RecordError(f"{Path(file).name}: is shorter than one latent action, which spans {interval_s:g} s")
    return longest


def _latent(lam: "Lam", frames: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Encode a clip (n + 1 frames) as `villa label` does."""
    side = lam.config.resolution
    clip = np.stack([resize(frame, side, side) for frame in frames]).transpose(0, 3, 1, 2)
    return np.asarray(lam.encode(np.ascontiguousarray(clip)).quantized[0].float().cpu().numpy(), np.float32)


def _of_episodes(config: TransferConfig, uri: str, lam: "Lam") -> tuple[list[Clip], dict[str, str]]:
    from models.weights import read_config
    from pipelines.evaluation.plan import choose
    from pipelines.training.data import open_reader

    reader, interval_s = open_reader(uri), lam.config.interval_s
    held_out = held_out_by(read_config(config.lam), config.val_fraction)
    chosen = choose(reader, config.datasets, held_out, config.clips, interval_s)
    chosen = chosen or choose(reader, config.datasets, 1.0, config.clips, interval_s)
    hands = _hands(reader)
    clips, rejected = list[Clip](), dict[str, str]()
    for episode in chosen:
        stride = steps_per_latent(episode.control_hz, interval_s)
        rows = np.arange(0, min(episode.num_steps, int(config.max_s * episode.control_hz) + 1), stride)
        if len(rows) < 2 or "primary" not in episode.cameras:
            continue
        try:
            frames = decoded(reader, episode, "primary", rows)
        except jpeg.DAMAGE as error:
            rejected[episode.episode_id] = f"episode {episode.episode_id}: a picture is broken ({error!s:.100})"
            continue
        state = reader.state(episode.row) if episode.kind == "robot" else None
        ways = None if state is None else motion_of(state[rows], hands.get((episode.embodiment, episode.dataset), ()))
        clips.append(
            Clip(
                name=f"{episode.dataset.replace('/', '-')}-{episode.episode_id[:8]}",
                instruction=texts.said_at(episode.texts, 0),
                frames=frames,
                latent=_latent(lam, frames),
                motion=ways,
                held_out=is_held_out(episode, held_out),
            )
        )
    if not clips:
        known = ", ".join(sorted({e.dataset for e in reader.episodes}))
        raise DataEngineError(
            f"{uri}: no episode of {', '.join(config.datasets) or 'a robot'} with a camera spans a latent action of "
            f"{interval_s:g} s; datasets there: {known}" + "".join(f"; {why}" for why in rejected.values())
        )
    return clips, rejected


def _hands(reader: EpisodeReader) -> dict[tuple[str, str], tuple[tuple[int, ...], ...]]:
    """Say where states of each robot in each dataset have the positions of hands."""
    return {
        (name, dataset): hands_of(one.by_dataset.get(dataset, one).state)
        for name, one in reader.statistics().items()
        for dataset in one.datasets
    }


def hands_of(state: Statistics) -> tuple[tuple[int, ...], ...]:
    """Give indices of the x y z of each hand in a state; none where it is no pose of hands."""
    if state.encoding != "eef_pose":
        return ()
    names = join_names(state.names) if any(state.names) else None
    layout = VectorLayout.of(state.encoding, state.dim, names=names)
    return tuple(position for position in layout.positions if len(position) == 3)


def motion_of(states: NDArray[np.float32], hands: tuple[tuple[int, ...], ...]) -> NDArray[np.float32] | None:
    """Ways (n, 3) between neighbouring states (n + 1, s) of the hand that goes furthest; None without hands."""
    if not hands:
        return None
    ways = [np.diff(states[:, list(hand)], axis=0) for hand in hands]
    return max(ways, key=lambda way: float(np.linalg.norm(way, axis=1).sum()))
