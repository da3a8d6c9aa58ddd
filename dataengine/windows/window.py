"""What a model trains on: a few frames spaced in seconds, and what the robot felt and did from the first of them on.

Shape letters: t frames, m control steps, s state, a action, n latent actions, k codes in one, d their width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from dataengine import texts
from dataengine.windows.episode_columns import Setup
from dataengine.windows.episode_info import DataIdentity, EpisodeInfo
from dataengine.windows.episode_table import EpisodeTable

if TYPE_CHECKING:
    from dataengine.windows.stats import EmbodimentStatistics

Jpeg = bytes | memoryview
"""An encoded frame; a view lies in a file that its reader has mapped."""


@dataclass(frozen=True, kw_only=True)
class LatentInfo:
    """Where a column of latent actions comes from, and its shape."""

    name: str
    fingerprint: str
    """Of the weights that wrote it."""
    k: int
    d: int
    interval_s: float
    """Seconds between the two frames that one latent action joins."""
    past_frames: bool = True
    """Whether it may depend on frames before the first of the two, which whoever sees that one alone cannot know."""
    precision: str = "fp32"
    """That of the products which it was computed with."""

    @property
    def kind(self) -> str:
        """Say in two words what it was read from."""
        return "with past frames" if self.past_frames else "without past frames"


class EpisodeReader(Protocol):
    """Gives arrays and JPEGs of episodes at random; a corpus and a folder of shards both do."""

    @property
    def episodes(self) -> EpisodeTable:
        """All about every episode but its arrays and pictures, by row."""
        ...

    @property
    def uri(self) -> str:
        """Where it reads: a corpus, or a folder of shards."""
        ...

    @property
    def identity(self) -> DataIdentity:
        """Which data this is."""
        ...

    @property
    def latents(self) -> Sequence[str]:
        """Names of the latent actions that there are."""
        ...

    @property
    def frame_side(self) -> int | None:
        """Side that larger frames were scaled to, to be trained at; None where frames are as they were ingested."""
        ...

    def fetch(self, rows: Sequence[int], lam: str = "") -> None:
        """Get ready what the next windows need of some episodes, in one read: vectors, latent actions by `lam`."""
        ...

    def state(self, row: int) -> NDArray[np.float32] | None:
        """Give canonical states (t, s), or None for a human clip."""
        ...

    def action(self, row: int) -> NDArray[np.float32] | None:
        """Give canonical actions (t, a); row i was taken after observation i."""
        ...

    def latent_info(self, lam: str) -> LatentInfo:
        """Say who made the latent actions called `lam`; raise DataEngineError if nobody did."""
        ...

    def latent(self, row: int, lam: str) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
        """Give latent actions (t, k, d) and their codes (t, k); codes are -1 where a pair would leave the episode."""
        ...

    def codebook(self, lam: str) -> NDArray[np.float32] | None:
        """Give the vectors (n, d) that the codes of `lam` stand for; None where its latent actions are none of them."""
        ...

    def jpegs(self, slot: str, wanted: Sequence[tuple[int, int]]) -> Sequence[Jpeg]:
        """Read encoded frames for (row, frame) pairs, in order, in one batched read."""
        ...

    def num_bytes(self, row: int) -> int:
        """Count the bytes of an episode's frames, over all its cameras."""
        ...

    def statistics(self) -> "dict[str, EmbodimentStatistics]":
        """Give statistics by embodiment, for the normaliser; robots only."""
        ...


def steps_per_latent(control_hz: float, interval_s: float) -> int:
    """Control steps K that one latent action spans; 0.7 s gives villa-X's own 2 at 3 Hz and 3 at 5 Hz."""
    return max(1, int(interval_s * control_hz + 1e-6))


@dataclass(frozen=True, kw_only=True)
class WindowSpec:
    """Which part of an episode around a start frame a model needs."""

    num_frames: int = 1
    """Frames t, `interval_s` apart."""
    interval_s: float = 0.7
    slots: tuple[str, ...] = ("primary",)
    """Cameras that an episode must have."""
    optional_slots: tuple[str, ...] = ()
    """Cameras taken where an episode has them."""
    horizon: int = 0
    """Control steps wanted after the first frame, if the frames do not already span more."""
    latent: str = ""
    """Name of the latent actions; empty for none."""
    num_latents: int = 0
    """Latent actions n, at the first frame and every `interval_s` after it."""

    def num_windows(self, episode: EpisodeInfo) -> int:
        """Count the start frames 0, 1, ... that an episode offers.

        Clips want room for all their frames; an episode too short for that still offers up to one interval of starts
        with its missing frames masked, so that fast demonstrations are seen too. A single frame may lie anywhere,
        unless nothing follows it that a model could learn from (the tail of a human clip has no latent action).
        """
        return int(self._count(episode, np.array([episode.num_steps]))[0])

    def count_windows(self, episodes: EpisodeTable) -> NDArray[np.int64]:
        """(e,) count them for each of many episodes."""
        steps, setup = episodes.num_steps, episodes.setup
        counts = np.zeros(len(episodes), np.int64)
        for number in np.unique(setup).tolist():
            mine = setup == number
            counts[mine] = self._count(episodes.setups[number], steps[mine].astype(np.int64))
        return counts

    def _count(self, episode: EpisodeInfo | Setup, steps: NDArray[np.int64]) -> NDArray[np.int64]:
        """(e,) count the windows of episodes of one setup that have so many steps (e,)."""
        if any(slot not in episode.cameras for slot in self.slots):
            return np.zeros_like(steps)
        stride = steps_per_latent(episode.control_hz, self.interval_s)
        if self.num_frames > 1:
            room = steps - (self.num_frames - 1) * stride
            return np.maximum(np.maximum(room, np.minimum(steps - stride, stride)), 0)
        if episode.kind == "human":
            learns = bool(self.latent or self.num_latents)
            return np.maximum(steps - stride, 0) if learns else np.zeros_like(steps)
        return steps


@dataclass(frozen=True, kw_only=True)
class Window:
    """One sample but for its pictures: whoever makes a batch fetches them. Arrays end with the episode."""

    episode: EpisodeInfo
    start: int
    stride: int
    """Control steps K between neighbouring frames and between neighbouring latent actions."""
    frames: NDArray[np.int64]
    """(t,) frame numbers; beyond the episode's end the last real one again."""
    frame_mask: NDArray[np.bool_]
    """(t,) False where a frame is such a repetition."""
    state: NDArray[np.float32] | None
    """(up to m + 1, s) states from the first frame on."""
    action: NDArray[np.float32] | None
    """(up to m, a) actions from the first frame on."""
    latent: NDArray[np.float32] | None = None
    """(n, k, d), zeros where masked."""
    latent_mask: NDArray[np.bool_] | None = None
    """(n,) True where the episode has that latent action."""
    codes: NDArray[np.int16] | None = None
    """(n, k), -1 where masked."""

    @property
    def instruction(self) -> str:
        """What holds at the start; texts that overlap there, and paraphrases, take turns over start frames."""
        return texts.said_at(self.episode.texts, self.start)


def cut_windows(reader: EpisodeReader, spec: WindowSpec, picks: Sequence[tuple[int, int]]) -> list[Window]:
    """Cut the windows of some (row, start) pairs, whose numbers are read together."""
    reader.fetch([row for row, _ in picks], spec.latent if spec.num_latents else "")
    return [cut_window(reader, spec, row, start) for row, start in picks]


def cut_window(reader: EpisodeReader, spec: WindowSpec, row: int, start: int) -> Window:
    """Cut one window's numbers out of an episode, without reading pictures or copying arrays."""
    episode = reader.episodes[row]
    stride, end = steps_per_latent(episode.control_hz, spec.interval_s), episode.num_steps
    # Plain integers: for so few numbers they are several times faster than arrays, and every sample comes by here.
    frames = [start + i * stride for i in range(spec.num_frames)]
    real = [frame for frame in frames if frame < end]
    span = max((spec.num_frames - 1) * stride, spec.horizon)
    state, action = reader.state(row), reader.action(row)
    latent, mask, codes = _cut_latents(reader, spec, row, range(start, start + spec.num_latents * stride, stride), end)
    return Window(
        episode=episode,
        start=start,
        stride=stride,
        frames=np.array(real + [real[-1]] * (len(frames) - len(real)), dtype=np.int64),
        frame_mask=np.array([frame < end for frame in frames]),
        state=None if state is None else state[start : start + span + 1],
        action=None if action is None else action[start : start + span],
        latent=latent,
        latent_mask=mask,
        codes=codes,
    )


def _cut_latents(
    reader: EpisodeReader, spec: WindowSpec, row: int, wanted: range, end: int
) -> tuple[NDArray[np.float32] | None, NDArray[np.bool_] | None, NDArray[np.int16] | None]:
    """Take latent actions (n, k, d) at some frames, zeros and a false mask where there is none, and their codes."""
    if not spec.latent or not spec.num_latents:
        return None, None, None
    latent, codes = reader.latent(row, spec.latent)
    inside = [min(frame, end - 1) for frame in wanted]
    mask = np.array([frame < end for frame in wanted]) & (codes[inside, 0] >= 0)
    return latent[inside] * mask[:, None, None], mask, np.where(mask[:, None], codes[inside], -1)
