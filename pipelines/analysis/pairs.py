"""Pairs of frames to probe latent actions on: which ones, and what the robot did between them."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataengine.spread import spread
from dataengine.store import Corpus
from dataengine.store.kept import Kept
from dataengine.vector_layout import VectorLayout
from dataengine.windows.episode_info import EpisodeInfo, is_held_out, undivided
from dataengine.windows.normalize import Normalizer
from dataengine.windows.window import steps_per_latent

Floats = NDArray[np.float32]
ToForm = Callable[[NDArray, Floats, VectorLayout], Floats]
"""Makes other values (t, b) of actions (t, a), of the same normalised, and of their layout."""
ToGroups = Callable[[VectorLayout], Mapping[str, tuple[int, ...]]]


@dataclass(frozen=True, kw_only=True)
class Picks:
    """Pairs i -> i + K of one embodiment at one K, chosen evenly over all frames of its episodes."""

    embodiment: str
    stride: int
    """Control steps K between the two frames."""
    episodes: tuple[EpisodeInfo, ...]
    episode: NDArray[np.int64]
    """(n,) which of `episodes`, rising."""
    row: NDArray[np.int64]
    """(n,) first frame, rising within an episode."""

    def by_episode(self) -> Iterator[tuple[EpisodeInfo, NDArray[np.int64]]]:
        """Yield the episodes that have pairs, with their first frames."""
        for i in np.unique(self.episode):
            yield self.episodes[i], self.row[self.episode == i]


@dataclass(frozen=True, kw_only=True)
class PairMotion:
    """What the robot did in n pairs, normalised; dimensions that never vary are left out."""

    actions: Floats
    """(n, K, a)."""
    state_change: Floats
    """(n, s): the true difference of the two states."""
    action_dims: NDArray[np.int64]
    """(a,) which dimensions of the canonical vector these are."""
    groups: Mapping[str, tuple[int, ...]]
    """Dimensions of the canonical vector by kind, as `VectorLayout.groups` has them; empty where nobody says."""


def robots(corpus: Corpus, slots: Collection[str] = ()) -> Kept:
    """Ask for the kept episodes with states, actions and these cameras."""
    return corpus.kept(vectors=("state", "action"), slots=sorted(slots))


@dataclass(frozen=True, kw_only=True)
class Split:
    """One embodiment's pairs on both sides."""

    train: Picks
    test: Picks
    borrowed: int = 0
    """Held-out episodes that are not held out from the training of models."""

    @property
    def lacks(self) -> str:
        """Say which side is empty."""
        sides = {"training": self.train, "held-out": self.test}
        return " and ".join(f"no {name} episodes" for name, side in sides.items() if not len(side.row))


def choose(
    episodes: Sequence[EpisodeInfo], interval_s: float, *, held_out: float, most_train: int, most_held_out: int
) -> list[Split]:
    """Pick training and held-out pairs for every embodiment and K, whole episodes on one side or the other.

    In a small corpus the hash may hold out no episode of an embodiment. Then some are borrowed, whole groups of them:
    the probe does not see them, but the model to be probed may have.
    """
    groups: dict[tuple[str, int], tuple[list[EpisodeInfo], list[EpisodeInfo]]] = {}
    for episode in episodes:
        stride = steps_per_latent(episode.control_hz, interval_s)
        if episode.num_steps > stride:
            side = int(is_held_out(episode, held_out))
            groups.setdefault((episode.embodiment, stride), ([], []))[side].append(episode)
    splits = []
    for (name, stride), (train, test) in sorted(groups.items()):
        train, borrowed = _lent(train, held_out) if not test else (train, 0)
        train, test = train[borrowed:], test + train[:borrowed]
        sides = {"train": _pick(name, stride, train, most_train), "test": _pick(name, stride, test, most_held_out)}
        splits.append(Split(**sides, borrowed=borrowed))
    return splits


def _lent(train: list[EpisodeInfo], share: float) -> tuple[list[EpisodeInfo], int]:
    """Put episodes that can be lent first, and count them: about this share, never all, and no group in part."""
    units: dict[str, list[EpisodeInfo]] = {}
    for episode in train:
        units.setdefault(undivided(episode), []).append(episode)
    wanted, lent = max(1, round(share * len(train))), 0
    for unit in list(units.values())[:-1]:
        if lent < wanted:
            lent += len(unit)
    return [episode for unit in units.values() for episode in unit], lent


def _pick(embodiment: str, stride: int, episodes: Sequence[EpisodeInfo], most: int) -> Picks:
    ends = np.cumsum([e.num_steps - stride for e in episodes], dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    # Evenly spaced over all pairs, one after another: no draw, so a larger corpus of the same episodes picks alike.
    positions = spread(total, most)
    episode = np.searchsorted(ends, positions, side="right")
    row = positions - np.concatenate([[0], ends])[episode] if len(ends) else positions
    return Picks(embodiment=embodiment, stride=stride, episodes=tuple(episodes), episode=episode, row=row)


def read_numbers(
    corpus: Corpus,
    picks: Picks,
    normalizer: Normalizer,
    *,
    num_actions: int = 0,
    form: tuple[ToForm, ToGroups] | None = None,
) -> PairMotion:
    """Read and normalise what the robot did in the pairs: the first `num_actions` actions, 0 for all K.

    `form` makes other values of actions, of which all are kept.
    """
    name, steps = picks.embodiment, np.arange(min(num_actions or picks.stride, picks.stride))
    actions, changes, layouts = [], [], set()
    for info, rows in picks.by_episode():
        episode = corpus.episode(info.episode_id)
        assert episode.action is not None
        assert episode.state is not None
        action = normalizer.normalize(name, "action", episode.action, episode.dataset)
        state = normalizer.normalize(name, "state", episode.state, episode.dataset)
        layouts.add(episode.layout("action"))
        if form is not None:
            action = form[0](episode.action, action, episode.layout("action"))
        actions.append(action[rows[:, None] + steps])
        changes.append(state[rows + picks.stride] - state[rows])
    values = np.concatenate(actions)
    varies = normalizer.varies(name, "action") if form is None else np.ones(values.shape[-1], bool)
    layout = next(iter(layouts)) if len(layouts) == 1 else None
    groups = {} if layout is None else form[1](layout) if form else layout.groups
    return PairMotion(
        actions=values[..., varies],
        state_change=np.concatenate(changes),
        action_dims=np.flatnonzero(varies),
        groups=groups,
    )
