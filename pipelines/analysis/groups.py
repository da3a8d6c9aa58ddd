"""Pairs of frames to look into a latent action model with: whose, which ones, and what the model says of them."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dataengine.errors import DataEngineError
from dataengine.store import Corpus
from dataengine.windows.episode_info import EpisodeInfo
from pipelines.analysis.latents import LatentSource, read_latents
from pipelines.analysis.pairs import Picks, Split, choose
from pipelines.training.frames import decode_into

if TYPE_CHECKING:
    from models.lam import Lam

READ_TOGETHER = 16
"""Pairs encoded between two words of progress."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What a model was trained on, as far as its files tell."""

    held_out: float | None
    """Share of the episodes that its training left out; None where nothing is told."""
    datasets: frozenset[str] | None
    """Names of the datasets that it saw; None where nothing is told."""

    def saw(self, dataset: str) -> bool | None:
        """Tell whether training saw a dataset; None if nobody knows."""
        return None if self.datasets is None else dataset in self.datasets


@dataclass(frozen=True, kw_only=True)
class PairGroup:
    """Readable pairs of one embodiment in one dataset, and the latent actions of them."""

    title: str
    dataset: str
    embodiment: str
    kind: str
    saw: bool | None
    """Whether the model's training saw this dataset."""
    held_out: bool
    """Whether that training left these very episodes out."""
    picks: Picks
    latent: NDArray[np.float32]
    """(n, k, d)."""
    codes: NDArray[np.int64]
    """(n, k)."""
    motion: NDArray[np.float32] | None = None
    """(n, m) how far the hands went, metres; None without such a state."""
    unreadable: int = 0

    @property
    def flat(self) -> NDArray[np.float32]:
        """Latent actions (n, k * d)."""
        return self.latent.reshape(len(self.latent), -1)

    @property
    def status(self) -> str:
        """Say what the model can know of these episodes."""
        if self.saw is None:
            return "not known whether trained on"
        if not self.saw:
            return "dataset never trained on"
        return "held out from training" if self.held_out else "trained on (none is held out)"


def origin(directory: Path, corpus: Corpus) -> Origin:
    """Read what a model says of its training: its report, else its mixture, else the corpus that it names."""
    from models.weights import read_config

    stated = read_config(directory)
    training: dict[str, Any] = stated.get("training") or {}
    data: dict[str, Any] = stated.get("data") or {}
    report = directory / "report.json"
    try:
        shares: dict[str, float] = json.loads(report.read_text(encoding="utf-8"))["shares"] if report.is_file() else {}
    except (ValueError, KeyError) as error:
        raise DataEngineError(f"{report}: no report of `villa train lam` ({error!r}); move it away") from None
    weights = (training.get("mixture") or {}).get("weights") or {}
    datasets: frozenset[str] | None = None
    if shares:
        datasets = frozenset(name for name, share in shares.items() if share > 0)
    elif weights:
        datasets = frozenset(weights)
    elif data and str(data.get("uri", "")).partition("@")[0] == corpus.uri.partition("@")[0]:
        datasets = frozenset(corpus.datasets())
    return Origin(held_out=training.get("val_fraction", training.get("held_out")), datasets=datasets)


def episodes_seen_by(corpus: Corpus, slot: str) -> list[EpisodeInfo]:
    """Kept episodes, of robots and humans, that have this camera, whole, in the order of their ids."""
    episodes = corpus.kept(slots=[slot]).episodes(trimmed=False)
    if not episodes:
        raise DataEngineError(f"{corpus.uri}: no kept episode has a camera '{slot}'; `villa corpus info` lists cameras")
    return episodes


@dataclass(frozen=True, kw_only=True)
class PairChoice:
    """Pairs chosen and not yet read."""

    dataset: str
    kind: str
    saw: bool | None
    held_out: bool
    picks: Picks


def choose_pairs(episodes: Sequence[EpisodeInfo], interval_s: float, known: Origin, most: int) -> list[PairChoice]:
    """Choose up to `most` pairs of every embodiment in every dataset, evenly over the episodes that training left out.

    Where it left none out, or where nobody knows, over all of them.
    """
    all_picks = []
    for dataset in sorted({e.dataset for e in episodes}):
        mine = [e for e in episodes if e.dataset == dataset]
        apart = known.held_out if known.saw(dataset) is not False else None
        kinds = {e.embodiment: e.kind for e in mine}
        everything = _splits(mine, interval_s, 1.0, most)
        left_out = _splits(mine, interval_s, apart, most) if apart is not None else {}
        for key, split in everything.items():
            away = left_out.get(key)
            held_out = away is not None and not away.borrowed and len(away.test.row) > 0
            picks = away.test if away is not None and held_out else split.test
            all_picks.append(
                PairChoice(
                    dataset=dataset,
                    kind=kinds[picks.embodiment],
                    saw=known.saw(dataset),
                    held_out=held_out,
                    picks=picks,
                )
            )
    if not all_picks:
        raise DataEngineError(f"no episode is longer than the model's frame spacing of {interval_s:g} s")
    return all_picks


def _splits(
    episodes: Sequence[EpisodeInfo], interval_s: float, held_out: float, most: int
) -> dict[tuple[str, int], Split]:
    splits = choose(episodes, interval_s, held_out=held_out, most_train=1, most_held_out=most)
    return {(s.test.embodiment, s.test.stride): s for s in splits}


def read_groups(
    corpus: Corpus,
    source: LatentSource,
    lam: "Lam",
    choices: Sequence[PairChoice],
    threads: int,
    advance: Callable[[int], None],
) -> list[PairGroup]:
    """Read or compute the latent actions of chosen pairs; groups without a readable pair are left out."""
    import torch

    embodiments = [(c.dataset, c.picks.embodiment) for c in choices]
    several = len({c.dataset for c in choices}) < len(choices)
    groups = []
    for choice, embodiment in zip(choices, embodiments, strict=True):
        parts = []
        for part in _slices(choice.picks):
            parts.append(read_latents(corpus, source, part, threads))
            advance(len(part.row))
        flat, readable = (np.concatenate(side) for side in zip(*parts, strict=True))
        picks = choice.picks
        picks = replace(picks, episode=picks.episode[readable], row=picks.row[readable])
        if not len(picks.row):
            continue
        latent = flat[readable].reshape(len(picks.row), lam.config.num_slots, lam.config.latent_dim)
        # latent actions are rows of the codebook, so the nearest code is their own
        codes = lam.vq.nearest(torch.from_numpy(latent).to(lam.mean.device)).cpu().numpy()
        title_parts = [choice.dataset, *([picks.embodiment] if several else [])]
        title_parts += [f"K = {picks.stride}"] if embodiments.count(embodiment) > 1 else []
        groups.append(
            PairGroup(
                title=", ".join(title_parts),
                dataset=choice.dataset,
                embodiment=picks.embodiment,
                kind=choice.kind,
                saw=choice.saw,
                held_out=choice.held_out,
                picks=picks,
                latent=latent,
                codes=codes,
                motion=_motion(corpus, picks),
                unreadable=int((~readable).sum()),
            )
        )
    if not groups:
        raise DataEngineError(f"{corpus.uri}: none of {sum(len(c.picks.row) for c in choices)} pairs can be decoded")
    return groups


def _slices(picks: Picks) -> Iterator[Picks]:
    for i in range(0, len(picks.row), READ_TOGETHER):
        yield replace(picks, episode=picks.episode[i : i + READ_TOGETHER], row=picks.row[i : i + READ_TOGETHER])


def _motion(corpus: Corpus, picks: Picks) -> NDArray[np.float32] | None:
    """How far the hands went between the frames of each pair (n, m), where the state says where they are."""
    changes = []
    for info, rows in picks.by_episode():
        episode = corpus.episode(info.episode_id)
        state = episode.state
        layout = episode.layout("state")
        hands_at = [i for indices in layout.positions if len(indices) == 3 for i in indices]  # not on a plane
        if state is None or layout.encoding != "eef_pose" or not hands_at:
            return None
        hands = state[:, hands_at]
        changes.append(hands[rows + picks.stride] - hands[rows])
    return np.concatenate(changes)


def read_pictures(
    corpus: Corpus, slot: str, picks: Picks, which: NDArray[np.int64], side: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Decode both frames of some pairs, each (n, side, side, 3), scaled as in training."""
    ids = [picks.episodes[i].episode_id for i in picks.episode[which]]
    out = []
    for rows in (picks.row[which], picks.row[which] + picks.stride):
        pixels = np.empty((len(which), side, side, 3), np.uint8)
        wanted = list(zip(ids, (int(row) for row in rows), strict=True))
        for jpeg, target in zip(corpus.jpegs(slot, wanted), pixels, strict=True):
            decode_into(jpeg, target)
        out.append(pixels)
    return out[0], out[1]
