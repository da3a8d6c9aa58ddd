"""Which segments of which episodes go into which shard: equal for equal data and settings, so a killed run goes on.

Millions of episodes are columns here, too: a segment is an object while it is written.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dataengine.digest import hasher, hex_digest
from dataengine.shards.manifest import FORMAT, VERSION
from dataengine.shards.scaled import scaled
from dataengine.windows.episode_info import DataIdentity
from dataengine.windows.episode_table import EpisodeTable
from dataengine.windows.hands import Felt
from dataengine.windows.mixture import Mixture, key_of, permute
from dataengine.windows.window import EpisodeReader, LatentInfo

PERMUTED_AT_ONCE: Final = 2**20
LOOKED_AT: Final = 8
"""Episodes of each dataset that say how much smaller its frames become."""


class ShardSource(EpisodeReader, Protocol):
    """What shards are written of."""

    def widths(self, name: str) -> NDArray[np.int32]:
        """(e,) widths of each episode's `state` or `action`; 0 where it has none."""
        ...


@dataclass(frozen=True)
class ShardSegment:
    """Neighbouring steps of one episode."""

    row: int
    first: int
    num_steps: int
    number: int
    """Which of the episode's segments it is."""


@dataclass(frozen=True)
class ShardPlan:
    """Segments in the order in which they are written."""

    rows: NDArray[np.uint32]
    """(n,) row of each one's episode."""
    numbers: NDArray[np.uint32]
    """(n,) which of the episode's segments it is."""
    ends: NDArray[np.int64]
    """(shards,) segments up to and with each shard."""
    segment_steps: int
    episodes: EpisodeTable
    """Those that are written."""
    num_bytes: int
    """Of their frames, as they will be written; an estimate where they are scaled."""
    fingerprint: str
    identity: DataIdentity
    slots: tuple[str, ...]
    latents: tuple[LatentInfo, ...]
    shares: dict[str, float]
    """Of each dataset in training, unless a run names another mixture."""
    felt: Felt
    """Of people; only what the episodes above have is written."""
    frame_side: int | None
    """Larger frames are scaled to it."""
    settings: dict[str, Any]
    """What the plan follows from, as JSON holds it: to say what differs from a plan that is there."""

    @property
    def num_shards(self) -> int:
        """Count the shards."""
        return len(self.ends)

    @property
    def num_samples(self) -> int:
        """Count the segments."""
        return len(self.rows)

    @property
    def num_steps(self) -> int:
        """Count the steps."""
        return int(self.episodes.num_steps.sum(dtype=np.int64))

    def segments(self, reader: EpisodeReader, shard: int) -> list[ShardSegment]:
        """List those of a shard."""
        span = slice(int(self.ends[shard - 1]) if shard else 0, int(self.ends[shard]))
        listed = []
        for row, number in zip(self.rows[span].tolist(), self.numbers[span].tolist(), strict=True):
            first = number * self.segment_steps
            steps = min(self.segment_steps, reader.episodes[row].num_steps - first)
            listed.append(ShardSegment(row, first, steps, number))
        return listed


def plan(
    reader: ShardSource,
    *,
    latents: Sequence[str] = (),
    mixture: Mixture | None = None,
    shard_mb: float = 512,
    segment_steps: int = 1000,
    seed: int = 0,
    felt: Felt | None = None,
    frame_side: int | None = None,
) -> ShardPlan:
    """Cut episodes into segments, shuffle them, and deal them out into shards whose frames take about `shard_mb`.

    `felt` tells what people's hands felt, and is written beside their pictures. Episodes that the mixture never draws
    are left out; without one, the mixture pinned with a snapshot counts.
    """
    infos = tuple(reader.latent_info(name) for name in latents)
    identity, episodes, shares = _mixed(reader, mixture)
    slots = tuple(sorted({slot for setup, _, _ in episodes.by_setup() for slot in setup.cameras}))
    sizes = _sizes(reader, episodes, frame_side)
    rows, numbers, ends = _dealt(episodes, sizes, segment_steps, seed, shard_mb * 1e6)
    felt = felt if felt is not None and felt.any_of(episodes.rows) else Felt()
    facts: list[Any] = [FORMAT, VERSION, identity.fingerprint, identity.mixture, [asdict(info) for info in infos]]
    facts += [shard_mb, segment_steps, seed, slots, np.diff(ends, prepend=0).tolist()]
    # Shards without hands, or of frames as they are, are those that there were before.
    facts += ["hands"] if felt.is_any else []
    facts += [["frame_side", frame_side]] if frame_side else []
    settings = {
        "data": identity.fingerprint,
        "mixture": identity.mixture,
        "latents": {info.name: info.fingerprint for info in infos},
        "shard_mb": shard_mb,
        "segment_steps": segment_steps,
        "seed": seed,
        **({"hands": True} if felt.is_any else {}),
        **({"frame_side": frame_side} if frame_side else {}),
    }
    return ShardPlan(
        rows=rows,
        numbers=numbers,
        ends=ends,
        segment_steps=segment_steps,
        episodes=episodes,
        num_bytes=round(float(sizes.sum())),
        fingerprint=hex_digest(json.dumps(facts)),
        identity=identity,
        slots=slots,
        latents=infos,
        shares=shares,
        felt=felt,
        frame_side=frame_side,
        settings=settings,
    )


def _mixed(reader: EpisodeReader, mixture: Mixture | None) -> tuple[DataIdentity, EpisodeTable, dict[str, float]]:
    """Choose the episodes that a mixture draws; the identity says which mixture, and tells a choice from the whole."""
    identity, pinned, table = reader.identity, reader.identity.mixture, reader.episodes
    if mixture is not None:
        identity = replace(identity, mixture=mixture.model_dump(mode="json"))
    mixture = mixture or (Mixture(**pinned) if pinned else Mixture())
    used = table.select(mixture.chosen(table))
    num_frames, embodiments_of = Counter[str](), defaultdict[str, Counter[str]](Counter)
    robots = set()
    for setup, count, steps in used.by_setup():
        num_frames[setup.dataset] += steps
        embodiments_of[setup.dataset][setup.embodiment] += count
        robots |= {setup.dataset} if setup.kind == "robot" else set()
    human = frozenset(num_frames.keys() - robots)
    commonest = {name: count.most_common(1)[0][0] for name, count in embodiments_of.items()}
    shares = mixture.shares(num_frames, human, commonest)
    chosen = used.select(used.having(s.dataset in shares for s in used.setups))
    if len(chosen) < len(table):
        digest = hasher(identity.fingerprint)
        for episode_id in chosen.select(_by_id(chosen)).ids():
            digest.update(f"\n{episode_id}".encode())
        identity = replace(identity, fingerprint=digest.hexdigest())
    return identity, chosen, shares


def _by_id(episodes: EpisodeTable) -> NDArray[np.uint64]:
    """(e,) positions in the order of ids."""
    ids = episodes.columns["id"]
    return pc.sort_indices(ids if episodes.chosen is None else ids.take(pa.array(episodes.chosen))).to_numpy()


def _sizes(reader: EpisodeReader, episodes: EpisodeTable, frame_side: int | None) -> NDArray[np.float64]:
    """(e,) bytes of the frames of each episode as they will be written."""
    sizes = np.fromiter(map(reader.num_bytes, episodes.rows.tolist()), np.float64, len(episodes))
    if frame_side:
        for dataset in sorted({s.dataset for s in episodes.setups}):
            mine = np.flatnonzero(episodes.having(s.dataset == dataset for s in episodes.setups))
            sizes[mine] *= _share_left(reader, episodes.select(mine), frame_side) if len(mine) else 1.0
    return sizes


def _share_left(reader: EpisodeReader, episodes: EpisodeTable, frame_side: int) -> float:
    """Say how much of the bytes of frames stays when they are scaled, by the middle frame of a few episodes."""
    before = after = 0
    for episode in episodes.first_ids(LOOKED_AT):
        for slot in episode.cameras:
            for jpeg in reader.jpegs(slot, [(episode.row, episode.num_steps // 2)]):
                before, after = before + len(jpeg), after + len(scaled(jpeg, frame_side))
    return after / before if before else 1.0


def _dealt(
    episodes: EpisodeTable, sizes: NDArray[np.float64], segment_steps: int, seed: int, shard_bytes: float
) -> tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.int64]]:
    """Give rows (n,) and numbers (n,) of the segments in shuffled order, and where shards end."""
    by_id = _by_id(episodes)
    order, own = episodes.select(by_id), sizes[by_id]
    steps = order.num_steps.astype(np.int64)
    counts = -(-steps // segment_steps)
    n = int(counts.sum())
    episode = np.repeat(np.arange(len(order), dtype=np.uint32), counts)
    number = (np.arange(n) - np.repeat(np.cumsum(counts) - counts, counts)).astype(np.uint32)
    starts = range(0, n, PERMUTED_AT_ONCE)
    shuffled = [permute(np.arange(s, min(s + PERMUTED_AT_ONCE, n)), max(n, 1), key_of(seed)) for s in starts]
    positions = np.concatenate(shuffled).astype(np.uint32) if shuffled else np.zeros(0, np.uint32)
    episode, number = episode[positions], number[positions]
    ends, num_bytes = list[int](), np.inf
    for first in range(0, n, PERMUTED_AT_ONCE):
        some = slice(first, first + PERMUTED_AT_ONCE)
        of_each = np.minimum(segment_steps, steps[episode[some]] - number[some].astype(np.int64) * segment_steps)
        for i, size in enumerate((own[episode[some]] * of_each / steps[episode[some]]).tolist(), first):
            if num_bytes + size > shard_bytes:
                ends.append(i)
                num_bytes = 0.0
            num_bytes += size
    return order.rows[episode].astype(np.uint32), number, np.array([*ends[1:], n] if n else [], np.int64)
