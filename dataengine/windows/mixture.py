"""Which windows a training run sees, and in which order: a pure function of the seed and a position.

Nothing is remembered between batches. A run that stops goes on from its step alone, and every number of machines sees
the same windows at the same positions.
"""

from collections import Counter, defaultdict
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dataengine.config import Config
from dataengine.digest import share_of
from dataengine.errors import DataEngineError
from dataengine.naming import did_you_mean
from dataengine.windows.episode_info import EpisodeInfo
from dataengine.windows.episode_table import EpisodeTable
from dataengine.windows.window import WindowSpec

_ROUNDS = 6
BLOCK = 4096
"""Positions drawn at once."""


Weight = Annotated[float, Field(ge=0, le=1e12)]
Share = Annotated[float, Field(ge=0, le=1)]


class Mixture(Config):
    """How often each dataset is drawn; by default in proportion to its frames."""

    weights: dict[str, Weight | Literal["frames"]] | None = None
    """Dataset to weight, or to `frames`: as many as it has. What is not named is left out. None: all by frames."""
    fractions: dict[str, Share] = Field(default_factory=dict)
    """Dataset to the share of its episodes that is used at all, chosen by a hash of their ids; 1 where not named."""
    optional: list[str] | Literal["all"] = Field(default_factory=list)
    """Datasets that may be missing; the others share what they would have got."""
    temperature: float = Field(1.0, ge=0.25, le=1e9)
    """Weights are raised to 1 / temperature: above 1 small datasets are drawn more often than their size."""
    embodiment_temperature: float = Field(1.0, ge=0.25, le=1e9)
    """The same among embodiments, each with the weights of its datasets; large values draw all equally often."""
    human_share: float | None = Field(None, ge=0, le=1)
    """Share of human clips, whatever the weights within robots and within humans; villa-X takes 0.5."""

    def uses(self, episode: EpisodeInfo) -> bool:
        """Say whether an episode is among the fraction of its dataset that is used."""
        fraction = self.fractions.get(episode.dataset, 1.0)
        return fraction >= 1 or share_of("fraction", episode.episode_id) < fraction

    def chosen(self, episodes: EpisodeTable) -> NDArray[np.bool_]:
        """(e,) say it of each of many."""
        mask = np.ones(len(episodes), np.bool_)
        for dataset, fraction in self.fractions.items():
            mine = np.flatnonzero(episodes.having(s.dataset == dataset for s in episodes.setups))
            if fraction < 1:
                mask[mine] = [share_of("fraction", name) < fraction for name in episodes.select(mine).ids()]
        return mask

    def shares(
        self,
        num_frames: Mapping[str, int],
        human: frozenset[str] = frozenset(),
        embodiments: Mapping[str, str] | None = None,
    ) -> dict[str, float]:
        """Share of each dataset; they sum to 1.

        `num_frames` are those on offer, `human` names the datasets of human clips, `embodiments` each dataset's body.
        """
        self._check_names(num_frames)
        given = dict.fromkeys(num_frames, "frames") if self.weights is None else self.weights
        known = {
            name: num_frames[name] if weight == "frames" else float(weight)
            for name, weight in given.items()
            if name in num_frames
        }
        raw = {name: weight ** (1 / self.temperature) for name, weight in known.items() if weight > 0}
        if self.embodiment_temperature != 1 and embodiments:
            totals: dict[str, float] = defaultdict(float)
            for name, weight in raw.items():
                totals[embodiments[name]] += weight
            scale = {embodiment: total ** (1 / self.embodiment_temperature - 1) for embodiment, total in totals.items()}
            raw = {name: weight * scale[embodiments[name]] for name, weight in raw.items()}
        if self.human_share is not None:
            sides = {
                side: sum(weight for name, weight in raw.items() if (name in human) == side) for side in (True, False)
            }
            if all(sides.values()):
                of_side = {True: self.human_share, False: 1 - self.human_share}
                raw = {n: of_side[n in human] * weight / sides[n in human] for n, weight in raw.items()}
        total = sum(raw.values())
        if total <= 0:
            raise DataEngineError(
                "no windows to train on: no dataset has a weight above 0 and episodes that are long enough"
            )
        return {name: weight / total for name, weight in raw.items() if weight > 0}

    def missing(self, present: Container[str]) -> list[str]:
        """Datasets that are named with a weight and not there."""
        return [name for name, weight in (self.weights or {}).items() if weight != 0 and name not in present]

    def _check_names(self, num_frames: Mapping[str, int]) -> None:
        """Refuse a name that is not there, unless it is optional."""
        for name in (*self.missing(num_frames), *(name for name in self.fractions if name not in num_frames)):
            if self.optional != "all" and name not in self.optional:
                hint = did_you_mean(name, num_frames, f"the data has {', '.join(sorted(num_frames))}")
                raise DataEngineError(
                    f"mixture names dataset '{name}', which offers nothing to train on; {hint} "
                    "A dataset that may be missing is listed in mixture.optional"
                )


@dataclass(frozen=True, kw_only=True)
class DatasetShare:
    """What a mixture makes of one dataset."""

    dataset: str
    episodes: int
    """That are used and offer windows."""
    windows: int
    """In one pass over it."""
    share: float
    """Of all draws."""


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble 64-bit words (the finaliser of splitmix64, by Sebastiano Vigna)."""
    with np.errstate(over="ignore"):
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def key_of(*numbers: NDArray[np.int64] | int) -> NDArray[np.uint64]:
    """Hash integers, element by element, into one word."""
    key = np.zeros(1, dtype=np.uint64)
    for number in numbers:
        key = _mix(key ^ np.asarray(number).astype(np.uint64))
    return key


def permute(index: NDArray[np.int64], size: NDArray[np.int64] | int, key: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Send each index to another one below `size`: for each key a bijection of range(size), found without a table.

    A Feistel network over the smallest even number of bits that holds `size`; what falls outside goes round again.
    """
    index, size, key = np.broadcast_arrays(index.astype(np.uint64), np.asarray(size, dtype=np.uint64), key)
    num_bits = np.frexp((size - np.uint64(1)).astype(np.float64))[1]
    half = np.maximum((num_bits + 1) // 2, 1).astype(np.uint64)
    out, todo = index.copy(), np.ones(index.shape, dtype=bool)
    while todo.any():
        width, keys = half[todo], key[todo]
        mask = (np.uint64(1) << width) - np.uint64(1)
        left, right = out[todo] >> width, out[todo] & mask
        for i in range(_ROUNDS):
            left, right = right, left ^ (_mix(right ^ _mix(keys + np.uint64(i))) & mask)
        out[todo] = (left << width) | right
        todo = out >= size
    return out.astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class _Offer:
    """What a dataset has."""

    span: slice
    """Its episodes."""
    num_windows: int
    num_steps: int
    is_human: bool
    """Whether nobody in it is a robot."""
    embodiment: str
    """That of most episodes."""


def _offers(episodes: EpisodeTable, counts: NDArray[np.int64]) -> dict[str, _Offer]:
    """Say what the datasets of episodes that are in order have; `counts` (e,) are windows."""
    names = sorted({s.dataset for s in episodes.setups})
    rank = np.array([names.index(s.dataset) for s in episodes.setups], np.int32)[episodes.setup]
    ends = np.searchsorted(rank, np.arange(len(names)), side="right")
    offers = {}
    for name, start, end in zip(names, [0, *ends[:-1]], ends, strict=True):
        if start < end:
            bodies, mine = Counter[str](), episodes[start:end].by_setup()
            for setup, count, _ in mine:
                bodies[setup.embodiment] += count
            offers[name] = _Offer(
                span=slice(start, end),
                num_windows=int(counts[start:end].sum()),
                num_steps=sum(steps for _, _, steps in mine),
                is_human=all(setup.kind == "human" for setup, _, _ in mine),
                embodiment=bodies.most_common(1)[0][0],
            )
    return offers


def _ends(counts: NDArray[np.int64]) -> NDArray[Any]:
    """(e,) windows up to and with each episode, in half the bytes where that holds them."""
    ends = np.cumsum(counts, dtype=np.int64)
    return ends.astype(np.uint32) if ends[-1] < 2**32 else ends


class WindowSampler:
    """Draws batches of (row, start frame).

    Position p of the run lies in epoch p // windows_per_epoch. An epoch is one permutation of as many draws as there
    are windows, dealt to the datasets by their shares; a dataset's draws walk through permutations of its own windows,
    so no window of it comes twice before all came once.
    """

    def __init__(
        self,
        episodes: Sequence[EpisodeInfo],
        spec: WindowSpec,
        *,
        batch_size: int,
        seed: int,
        mixture: Mixture | None = None,
    ) -> None:
        self.batch_size, self.seed = batch_size, seed
        self._blocks: dict[int, list[tuple[int, int]]] = {}
        mixture = mixture or Mixture()
        table = EpisodeTable.of(episodes)
        used = mixture.chosen(table)
        # In order, so that a corpus and its shards give the same windows whatever their order at rest.
        table = (table if used.all() else table.select(used)).in_order()
        counts, rows = spec.count_windows(table), table.rows
        offers = _offers(table, counts)
        self.shares = mixture.shares(
            {name: one.num_steps for name, one in offers.items() if one.num_windows},
            frozenset(name for name, one in offers.items() if one.is_human),
            {name: one.embodiment for name, one in offers.items()},
        )
        self.datasets = tuple(self.shares)
        self.missing = mixture.missing([name for name, one in offers.items() if one.num_windows])
        """Optional datasets that are not there."""
        self.by_dataset = tuple(
            DatasetShare(
                dataset=n,
                episodes=int((counts[offers[n].span] > 0).sum()),
                windows=offers[n].num_windows,
                share=self.shares[n],
            )
            for n in self.datasets
        )
        self._rows = [rows[offers[n].span] for n in self.datasets]
        self._ends = [_ends(counts[offers[n].span]) for n in self.datasets]
        self._sizes = np.array([ends[-1] for ends in self._ends], dtype=np.int64)
        self.windows_per_epoch = int(self._sizes.sum())
        share_ends = np.cumsum([self.shares[n] for n in self.datasets]) / sum(self.shares.values())
        # Rounded ends of the shares: their differences sum to the epoch exactly.
        self._draw_ends = np.rint(share_ends * self.windows_per_epoch).astype(np.int64)

    def at(self, positions: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows (b,) and start frames (b,) at positions (b,) of the run's endless sequence."""
        epoch, index = np.divmod(positions, self.windows_per_epoch)
        draw = permute(index, self.windows_per_epoch, key_of(self.seed, epoch))
        which = np.searchsorted(self._draw_ends, draw, side="right")
        begins = np.concatenate([[0], self._draw_ends[:-1]])
        per_epoch = self._draw_ends - begins
        # Which draw of its dataset this is since the run began; every `size` draws its windows are permuted anew.
        turn, index = np.divmod(epoch * per_epoch[which] + draw - begins[which], self._sizes[which])
        window = permute(index, self._sizes[which], key_of(self.seed, which + 1, turn))
        rows, starts = np.empty_like(window), np.empty_like(window)
        for d in np.unique(which):
            mine = which == d
            ends = self._ends[d]
            episode = np.searchsorted(ends, window[mine].astype(ends.dtype), side="right")
            first = np.where(episode > 0, ends[episode - 1], 0).astype(np.int64)
            rows[mine], starts[mine] = self._rows[d][episode], window[mine] - first
        return rows, starts

    def batch(self, step: int, rank: int = 0, world_size: int = 1) -> list[tuple[int, int]]:
        """Give one rank its (row, start frame) picks: its contiguous share of the step's global batch."""
        if self.batch_size % world_size:
            raise ValueError(f"batch size {self.batch_size} does not divide among {world_size} ranks")
        share = self.batch_size // world_size
        first = step * self.batch_size + rank * share
        blocks = range(first // BLOCK, (first + share - 1) // BLOCK + 1)
        picks: list[tuple[int, int]] = []
        for number in blocks:
            start = max(first - number * BLOCK, 0)
            picks += self._block(number)[start : first + share - number * BLOCK]
        return picks

    def _block(self, number: int) -> list[tuple[int, int]]:
        """Draw many neighbouring positions at once: that costs little more than drawing a few."""
        if number not in self._blocks:
            rows, starts = self.at(np.arange(number * BLOCK, (number + 1) * BLOCK, dtype=np.int64))
            while len(self._blocks) > 1:
                del self._blocks[min(self._blocks)]
            self._blocks[number] = list(zip(rows.tolist(), starts.tolist(), strict=True))
        return self._blocks[number]
