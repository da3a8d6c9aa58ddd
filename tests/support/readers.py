"""A reader that makes its episodes in sight: what a corpus gives, without a corpus."""

from collections.abc import Sequence

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from dataengine.texts import whole_episode
from dataengine.windows.episode_info import DataIdentity, EpisodeInfo
from dataengine.windows.episode_table import EpisodeTable, identify
from dataengine.windows.stats import EmbodimentStatistics, Statistics
from dataengine.windows.window import LatentInfo

K, D = 2, 4


def make_episode(row: int, num_steps: int = 30, **changes: object) -> EpisodeInfo:
    plain: dict = {
        "row": row,
        "episode_id": f"{row:016x}",
        "dataset": "pantry",
        "dataset_id": 1,
        "embodiment": "arm7_jaw",
        "embodiment_id": 1,
        "kind": "robot",
        "control_hz": 10.0,
        "num_steps": num_steps,
        "texts": whole_episode(["close the jar"], num_steps),
        "cameras": ("primary",),
    }
    return EpisodeInfo(**(plain | changes))


class MadeReader:
    """Episodes whose pictures are a square that moves with the state; actions are the state's changes."""

    def __init__(self, episodes: Sequence[EpisodeInfo], size: int = 32, dims: int = 7, interval_s: float = 0.3) -> None:
        self.episodes = EpisodeTable.of(list(episodes))
        self.identity: DataIdentity = identify("made", 1, self.episodes)
        self.size, self.dims, self.interval_s = size, dims, interval_s
        self.num_reads = 0
        self.uri = "made"
        self.latents = ("lam",)
        self.frame_side: int | None = None

    def fetch(self, rows: Sequence[int], lam: str = "") -> None:
        pass

    def state(self, row: int) -> NDArray[np.float32] | None:
        info = self.episodes[row]
        if info.kind == "human":
            return None
        steps = np.random.default_rng(row).uniform(-0.1, 0.1, (info.num_steps, self.dims))
        steps[:, -1] = np.arange(info.num_steps) % 2
        return np.cumsum(steps, axis=0).astype(np.float32) * np.array([1.0] * (self.dims - 1) + [0.0], np.float32)

    def widths(self, name: str) -> NDArray[np.int32]:
        arrays = (getattr(self, name)(e.row) for e in self.episodes)
        return np.array([0 if array is None else array.shape[1] for array in arrays], np.int32)

    def action(self, row: int) -> NDArray[np.float32] | None:
        state = self.state(row)
        if state is None:
            return None
        action = np.diff(state, axis=0, append=state[-1:])
        action[:, -1] = np.arange(len(action)) % 2
        return action

    def latent_info(self, lam: str) -> LatentInfo:
        return LatentInfo(name=lam, fingerprint="made", k=K, d=D, interval_s=self.interval_s)

    def latent(self, row: int, lam: str) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
        info = self.episodes[row]
        stride = max(1, int(self.interval_s * info.control_hz + 1e-6))
        draws = np.random.default_rng(row + 1000)
        latent = draws.normal(size=(info.num_steps, K, D)).astype(np.float32)
        codes = draws.integers(0, 32, (info.num_steps, K)).astype(np.int16)
        latent[-stride:], codes[-stride:] = 0, -1
        return latent, codes

    def codebook(self, lam: str) -> NDArray[np.float32] | None:
        return None

    def jpegs(self, slot: str, wanted: Sequence[tuple[int, int]]) -> list[bytes]:
        self.num_reads += 1
        return [simplejpeg.encode_jpeg(self.picture(slot, row, frame), quality=95) for row, frame in wanted]

    def num_bytes(self, row: int) -> int:
        return 700 * self.episodes[row].num_steps * len(self.episodes[row].cameras)

    def statistics(self) -> dict:
        return statistics(self)

    def picture(self, slot: str, row: int, frame: int) -> NDArray[np.uint8]:
        picture = np.full((self.size, self.size, 3), 40 if slot == "primary" else 90, dtype=np.uint8)
        state = self.state(row)
        x, y = (frame % 8, row % 8) if state is None else np.abs(state[frame, :2] * 20).astype(int) % (self.size - 8)
        picture[y : y + 8, x : x + 8] = (200, 30, 60)
        return picture


def statistics(
    reader: MadeReader, moves: tuple[int, ...] | None = (0, 1, 2, 3, 4, 5)
) -> dict[str, EmbodimentStatistics]:
    def of(arrays: list, **more: object) -> Statistics:
        x = np.concatenate(arrays).astype(np.float64)
        low, high = np.quantile(x, [0.01, 0.99], axis=0)
        plain: dict = {"count": len(x), "mean": x.mean(0), "std": x.std(0), "min": x.min(0), "max": x.max(0)}
        return Statistics(**plain, q01=low, q99=high, **more)

    robots = {
        e.embodiment: [o.row for o in reader.episodes if o.embodiment == e.embodiment]
        for e in reader.episodes
        if e.kind == "robot"
    }
    return {
        name: EmbodimentStatistics(
            state=of([reader.state(r) for r in rows]), action=of([reader.action(r) for r in rows], moves=moves)
        )
        for name, rows in robots.items()
    }
