"""Is a latent action model any good? Next frames predicted with the right latents, with wrong ones, and not at all."""

from collections.abc import Container, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field
from torch import Tensor

from dataengine.report import Report
from dataengine.windows.episode_info import EpisodeInfo
from dataengine.windows.mixture import WindowSampler
from dataengine.windows.window import EpisodeReader, WindowSpec, cut_window
from models.batch import LamBatch
from models.lam import Lam
from pipelines.training.collators import LamCollator
from pipelines.training.lam.controls import Controls, control

PAIRS_AT_ONCE = 64


class VisualScore(Report):
    """Squared error of the next frame on held-out episodes of one embodiment, pixels from 0 to 1."""

    embodiment: str
    pairs: int
    model: float
    """With each pair's own latent action."""
    shuffled: float
    """With that of another pair of the same embodiment: near `copy` or above when latents carry the motion."""
    copy_frame: float
    """Of repeating the current frame."""

    @property
    def ratio(self) -> float:
        """Model over copy: below 1 is better than repeating the frame."""
        return self.model / max(self.copy_frame, 1e-12)

    @property
    def shuffled_ratio(self) -> float:
        """Shuffled over copy."""
        return self.shuffled / max(self.copy_frame, 1e-12)


class SlotUse(Report):
    """How held-out pairs use the codebook in one slot."""

    used: int
    size: int
    perplexity: float


class ProprioScore(Report):
    """Squared errors of the proprio forward model on held-out episodes of one embodiment, normalised units."""

    embodiment: str
    named: bool
    """Whether it was given the robot's embodiment; one that it never saw is `unknown`, with its control rate."""
    pairs: int
    state: float
    state_if_held: float
    """Of a robot that stays where it is."""
    action: float
    action_if_mean: float
    """Of always giving the mean action of these very pairs."""


class LamScores(Report):
    """What a latent action model does on episodes that it never saw."""

    visual: list[VisualScore] = Field(default_factory=list)
    codebook: list[SlotUse] = Field(default_factory=list)
    codes_used: int = 0
    """Codes that any slot gave to any held-out pair."""
    proprio: list[ProprioScore] = Field(default_factory=list)
    controls: list[Controls] = Field(default_factory=list)


@dataclass(frozen=True)
class Pairs:
    """Held-out pairs of one embodiment, and what the model makes of them; pictures are (n, side, side, 3)."""

    embodiment: str
    before: NDArray[np.uint8]
    after: NDArray[np.uint8]
    predicted: NDArray[np.uint8]
    shuffled: NDArray[np.uint8]
    codes: NDArray[np.int64]
    """(n, k)."""

    def score(self) -> VisualScore:
        """Average the squared errors."""

        def error(picture: NDArray[np.uint8]) -> float:
            return float(np.square((picture.astype(np.float32) - self.after) / 255).mean())

        return VisualScore(
            embodiment=self.embodiment,
            pairs=len(self.after),
            model=error(self.predicted),
            shuffled=error(self.shuffled),
            copy_frame=error(self.before),
        )


@dataclass
class _ProprioSums:
    """Adds up errors over batches, each pair weighing the same."""

    pairs: int = 0
    errors: dict[str, float] = field(default_factory=dict)
    moments: Tensor = field(default_factory=lambda: torch.zeros(()))
    """(3, a) count, sum and sum of squares of actions."""

    def add(self, lam: Lam, batch: LamBatch, quantized: Tensor) -> None:
        """Predict what the robots of a batch felt and did."""
        pairs = int(batch.action_mask.flatten(2).any(dim=2).sum())
        if lam.proprio is None or not pairs:
            return
        _, losses = lam.proprio.loss(batch, quantized, None)
        self.pairs += pairs
        self.errors = {name: self.errors.get(name, 0.0) + float(value) * pairs for name, value in losses.items()}
        mask, action = batch.action_mask.flatten(0, 2), batch.action.flatten(0, 2).double()
        powers = [torch.where(mask, value, 0).sum(dim=0) for value in (torch.ones_like(action), action, action**2)]
        self.moments = self.moments.to(action.device) + torch.stack(powers)

    def score(self, embodiment: str, named: bool) -> ProprioScore | None:
        """Average; None where there was nothing to predict."""
        if not self.pairs:
            return None
        count, total, squares = self.moments
        mean = {name: value / self.pairs for name, value in self.errors.items()}
        spread = (squares - total.square() / count.clamp(min=1)).sum() / count.sum()
        return ProprioScore(embodiment=embodiment, named=named, pairs=self.pairs, action_if_mean=float(spread), **mean)


def evaluate(
    lam: Lam,
    reader: EpisodeReader,
    collator: LamCollator,
    spec: WindowSpec,
    episodes: Sequence[EpisodeInfo],
    most: int,
    known: Container[str] | None = None,
) -> tuple[LamScores, list[Pairs]]:
    """Score the model on up to `most` windows of every embodiment among the episodes.

    Datasets that are not in `known` the model never saw: their robots are `unknown` to it.
    """
    was_training = lam.training
    lam.eval()
    results = []
    for embodiment in sorted({e.embodiment for e in episodes}):
        mine = [e for e in episodes if e.embodiment == embodiment and spec.num_windows(e)]
        if mine:
            named = known is None or all(e.dataset in known for e in mine)
            results.append(_predict(lam, reader, collator, spec, mine, most, named))
    lam.train(was_training)
    pairs = [one for one, _, _ in results]
    codes = np.concatenate([p.codes for p in pairs]) if pairs else np.zeros((0, lam.config.num_slots), np.int64)
    slots = [_slot_use(codes[:, slot], lam.config.num_codes) for slot in range(codes.shape[1])] if len(codes) else []
    scores = LamScores(
        visual=[p.score() for p in pairs],
        codebook=slots,
        codes_used=len(np.unique(codes)),
        proprio=[proprio for _, proprio, _ in results if proprio],
        controls=[controls for _, _, controls in results],
    )
    return scores, pairs


@torch.no_grad()
def swap_cost(lam: Lam, batch: LamBatch) -> float:
    """Error of the next frames with the latent actions of other pairs of the same dataset, over that with their own.

    Read are as many clips as give `PAIRS_AT_ONCE` pairs; nothing that training depends on moves.
    """
    most = max(PAIRS_AT_ONCE // (batch.video.shape[1] - 1), 2)
    video, real = batch.video[:most], batch.frame_mask[:most, 1:]
    latent = lam.encode(video).quantized[real]
    before, after = (lam.prepare(frames[real]) for frames in (video[:, :-1], video[:, 1:]))
    dataset = batch.dataset_id[:most, None].expand_as(real)[real]
    own, swapped = ((lam.decoder(before, z) - after).square().mean() for z in (latent, latent[half_turn(dataset)]))
    return float(swapped / own.clamp(min=1e-12))


def half_turn(group: Int[Tensor, "n"]) -> Int[Tensor, "n"]:
    """Give every member of a group another of the same group, half the group away; itself where it is alone."""
    order = group.argsort(stable=True)
    other = torch.empty_like(order)
    for members in order.split(group.unique(return_counts=True)[1].tolist()):
        other[members] = members.roll(max(len(members) // 2, 1))
    return other


@torch.no_grad()
def _predict(
    lam: Lam,
    reader: EpisodeReader,
    collator: LamCollator,
    spec: WindowSpec,
    episodes: Sequence[EpisodeInfo],
    most: int,
    named: bool,
) -> tuple[Pairs, ProprioScore | None, Controls]:
    """Predict the second frame of pairs spread evenly over an embodiment's windows."""
    sampler = WindowSampler(episodes, spec, batch_size=1, seed=0)
    rows, starts = sampler.at(np.arange(min(most, sampler.windows_per_epoch)))
    windows = [cut_window(reader, spec, int(row), int(start)) for row, start in zip(rows, starts, strict=True)]
    windows = collator.frames.readable(windows)
    before, after, latents, codes = [], [], [], []
    proprio = _ProprioSums()
    for first in range(0, len(windows), PAIRS_AT_ONCE):
        some = windows[first : first + PAIRS_AT_ONCE]
        batch = collator.collate(some).to(next(lam.parameters()).device)
        encoded = lam.encode(batch.video)
        batch = batch if named else replace(batch, dataset_id=torch.zeros_like(batch.dataset_id))
        proprio.add(lam, batch, encoded.quantized)
        real = torch.from_numpy(np.stack([w.frame_mask[1:] for w in some])).to(batch.video.device)
        before.append(batch.video[:, :-1][real])
        after.append(batch.video[:, 1:][real])
        latents.append(encoded.quantized[real])
        codes.append(encoded.codes[real])
    frame, then, latent = torch.cat(before), torch.cat(after), torch.cat(latents)
    embodiment = episodes[0].embodiment
    pairs = Pairs(
        embodiment=embodiment,
        before=_pixels(frame),
        after=_pixels(then),
        predicted=_pixels(_render(lam, frame, latent)),
        # Half a turn: every pair gets a latent from elsewhere.
        shuffled=_pixels(_render(lam, frame, latent.roll(max(len(latent) // 2, 1), dims=0))),
        codes=torch.cat(codes).cpu().numpy(),
    )
    return pairs, proprio.score(embodiment, named), control(lam, embodiment, frame, then)


def _render(lam: Lam, frames: Tensor, latents: Tensor) -> Tensor:
    parts = zip(frames.split(PAIRS_AT_ONCE), latents.split(PAIRS_AT_ONCE), strict=True)
    return torch.cat([lam.render(frame, latent) for frame, latent in parts])


def _pixels(frames: Tensor) -> NDArray[np.uint8]:
    return frames.permute(0, 2, 3, 1).cpu().numpy()


def _slot_use(codes: NDArray[np.int64], num_codes: int) -> SlotUse:
    counts = np.bincount(codes, minlength=num_codes)
    share = counts[counts > 0] / counts.sum()
    return SlotUse(
        used=int((counts > 0).sum()), size=num_codes, perplexity=float(np.exp(-(share * np.log(share)).sum()))
    )


def save_pictures(pairs: Sequence[Pairs], path: Path, each: int = 3) -> None:
    """Draw rows of `before, after, predicted, |after - before|, |after - predicted|`, the most moving pairs first."""
    rows = []
    for p in pairs:
        moved = np.abs(p.after.astype(np.int16) - p.before).mean(axis=(1, 2, 3))
        # The top tenth moves most but may be cuts and flashes; below it lies plain motion.
        order = np.argsort(-moved)[len(moved) // 10 :][:: max(len(moved) // (8 * each), 1)][:each]
        for i in order:
            before, after, predicted = (x[i].astype(np.int16) for x in (p.before, p.after, p.predicted))
            errors = [np.minimum(np.abs(after - x) * 3, 255) for x in (before, predicted)]
            rows.append(np.concatenate([before, after, predicted, *errors], axis=1))
    if rows:
        Image.fromarray(np.concatenate(rows).astype(np.uint8)).save(path)
