"""Is a world model any good? Rollouts beside the true frames, beside a copy, and read back by the latent action model.

Arrays over steps are (n,): the first, second ... frame after the last one that was seen.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from dataengine.report import Report
from dataengine.windows.episode_info import EpisodeInfo
from dataengine.windows.mixture import WindowSampler
from dataengine.windows.window import EpisodeReader, WindowSpec, cut_window
from models.batch import WorldBatch
from models.lam import Lam
from models.pictures import resize
from pipelines.training.world.collator import WorldCollator
from pipelines.training.world.metrics import edge_distance, squared_error, ssim

AT_ONCE = 32
STRIPS = 2
"""Rollouts of each embodiment that are shown."""
COPY, TRUE, LEVEL_0, LEVEL_1 = "copy", "true frames", "level 0", "level 1"
SHUFFLED = ", shuffled"
"""After a predictor's name: what it makes of the latent actions of other rollouts."""

Predictor = Callable[[Tensor, Tensor], Tensor]
"""From history (b, t, 3, side, side) and latents (b, n, k, d) to frames (b, n, 3, side, side), all pictures uint8."""


class PredictorScore(Report):
    """One predictor's frames on one embodiment, by step; lists stop where no episode goes on."""

    predictor: str
    psnr: list[float]
    """Decibels, of the squared error averaged over pictures."""
    ssim: list[float]
    edges: list[float]
    """Edge distance: a stand-in for LPIPS with fixed filters; 0 is equal."""
    codes: list[float] = Field(default_factory=list)
    """Cycle check: share of slots in which the inverse dynamics of the rollout give back the code of the label.

    What `true frames` reaches is the most to ask for; what shuffled latents reach is chance."""
    cosine: list[float] = Field(default_factory=list)
    """Cycle check: cosine between the latent action read back and the label."""
    codes_by_slot: list[float] = Field(default_factory=list)
    """Of the first step."""


class RolloutScore(Report):
    """All predictors on one embodiment."""

    embodiment: str
    starts: list[int]
    """Rollouts that last so many steps."""
    predictors: list[PredictorScore] = Field(default_factory=list)

    def of(self, predictor: str) -> PredictorScore | None:
        """Find a predictor's score."""
        return next((p for p in self.predictors if p.predictor == predictor), None)


@dataclass(frozen=True)
class RolloutStrip:
    """One rollout to look at; pictures (n + 1, side, side, 3) begin with the last frame seen."""

    embodiment: str
    episode_id: str
    rows: dict[str, NDArray[np.uint8]]
    """By predictor; cut where the episode ends."""
    moved: float
    """Mean absolute difference of the true frames from the first, to find rollouts worth a look."""


@dataclass
class _Sums:
    """Sums over rollouts, by step."""

    num_steps: int
    figures: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    slots: NDArray[np.float64] | None = None

    def add(self, name: str, values: Tensor, counts: Tensor) -> None:
        """Add (b, n) values where they count."""
        so_far = self.figures.setdefault(name, np.zeros(self.num_steps))
        so_far += (values.double() * counts).sum(dim=0).cpu().numpy()


def copy_frame(history: Tensor, latents: Tensor) -> Tensor:
    """Repeat the last frame."""
    return history[:, -1:].expand(-1, latents.shape[1], -1, -1, -1)


def level_0(lam: Lam, side: int) -> Predictor:
    """Feed the latent action model's decoder its own frames."""

    def predict(history: Tensor, latents: Tensor) -> Tensor:
        frame, predicted = history[:, -1], []
        for latent in latents.unbind(1):
            frame = lam.render(frame, latent)
            predicted.append(resize(frame, side))
        return torch.stack(predicted, dim=1)

    return predict


def shuffle(latents: Tensor, counts: Tensor) -> Tensor:
    """Give every rollout, step by step, the latent action of another one that goes on so long; a lone one keeps its."""
    others = latents.clone()
    for step in range(latents.shape[1]):
        rows = counts[:, step].nonzero().flatten()
        others[rows, step] = latents[rows.roll(max(len(rows) // 2, 1)), step]
    return others


def evaluate(
    predictors: dict[str, Predictor],
    lam: Lam | None,
    reader: EpisodeReader,
    collator: WorldCollator,
    spec: WindowSpec,
    episodes: Sequence[EpisodeInfo],
    *,
    context: int,
    most: int,
    device: torch.device,
) -> tuple[list[RolloutScore], list[RolloutStrip]]:
    """Score predictors on up to `most` windows of every embodiment; `spec` spans `context` frames and the steps.

    The last predictor also predicts with shuffled latents: if that costs nothing, it does not look at them.
    """
    scores, strips = [], []
    for embodiment in sorted({e.embodiment for e in episodes}):
        mine = [e for e in episodes if e.embodiment == embodiment and spec.num_windows(e)]
        if not mine:
            continue
        sampler = WindowSampler(mine, spec, batch_size=1, seed=0)
        picks = sampler.at(np.arange(min(most, sampler.windows_per_epoch)))
        windows = [cut_window(reader, spec, int(row), int(start)) for row, start in zip(*picks, strict=True)]
        windows = collator.frames.readable(windows)
        rollouts = _Rollouts(embodiment, context, spec.num_frames - context, lam)
        # Parts of one size: a last part of a single window could not be shuffled.
        for part in np.array_split(np.arange(len(windows)), -(-len(windows) // AT_ONCE)):
            some = [windows[i] for i in part]
            rollouts.add(collator.collate(some).to(device), predictors, [w.episode.episode_id for w in some])
        if rollouts.starts[0]:
            scores.append(rollouts.score())
            strips.extend(rollouts.strips)
    return scores, strips


class _Rollouts:
    """Sums up one embodiment."""

    def __init__(self, embodiment: str, context: int, num_steps: int, lam: Lam | None) -> None:
        self.embodiment, self.context, self.num_steps, self.lam = embodiment, context, num_steps, lam
        self.starts = np.zeros(num_steps, np.int64)
        self.sums: dict[str, _Sums] = {}
        self.strips: list[RolloutStrip] = []

    def add(self, batch: WorldBatch, predictors: dict[str, Predictor], episode_ids: Sequence[str]) -> None:
        """Predict a batch of windows with every predictor."""
        history, truth = batch.video[:, : self.context], batch.video[:, self.context :]
        latents = batch.latent[:, self.context - 1 :]
        counts = batch.frame_mask[:, self.context :] & batch.latent_mask[:, self.context - 1 :]
        counts = counts.cumprod(dim=1).bool()
        self.starts += counts.sum(dim=0).cpu().numpy()
        frames = {name: predict(history, latents) for name, predict in predictors.items()}
        last, predict = list(predictors.items())[-1]
        frames[last + SHUFFLED] = predict(history, shuffle(latents, counts))
        if self.lam is not None:
            frames[TRUE] = truth
        for name, predicted in frames.items():
            sums = self.sums.setdefault(name, _Sums(self.num_steps))
            if name != TRUE:
                _compare(sums, predicted, truth, counts)
            if self.lam is not None:
                self._read_back(sums, self.lam, torch.cat([history, predicted], dim=1), latents, counts)
        self._keep(
            history[:, -1], {"true": truth, **{k: v for k, v in frames.items() if k != TRUE}}, counts, episode_ids
        )

    def _read_back(self, sums: _Sums, lam: Lam, clip: Tensor, latents: Tensor, counts: Tensor) -> None:
        """Ask the inverse dynamics what happens in a clip, and compare with the latents that were to happen."""
        read = lam.encode(clip)
        rows, codes = read.quantized[:, self.context - 1 :], read.codes[:, self.context - 1 :]
        agree = (codes == lam.vq.nearest(latents)).double()
        sums.add("codes", agree.mean(dim=2), counts)
        sums.add("cosine", F.cosine_similarity(rows.flatten(2), latents.flatten(2), dim=2), counts)
        first = (agree[:, 0] * counts[:, :1]).sum(dim=0).cpu().numpy()
        sums.slots = first if sums.slots is None else sums.slots + first

    def _keep(self, now: Tensor, frames: dict[str, Tensor], counts: Tensor, episode_ids: Sequence[str]) -> None:
        """Remember the longest rollouts, and among them those that move most; one of each episode."""
        lengths = counts.sum(dim=1)
        moved = (frames["true"].float() - now[:, None].float()).abs().mean(dim=(2, 3, 4))
        moved = (moved * counts).sum(dim=1) / lengths.clamp(min=1)
        for i, episode_id in enumerate(episode_ids):
            length = int(lengths[i])
            if length:
                rows = {name: torch.cat([now[i : i + 1], f[i, :length]]) for name, f in frames.items()}
                pixels = {name: r.permute(0, 2, 3, 1).cpu().numpy() for name, r in rows.items()}
                self.strips.append(RolloutStrip(self.embodiment, episode_id, pixels, float(moved[i])))
        self.strips.sort(key=lambda s: (-len(s.rows["true"]), -s.moved))
        best = {s.episode_id: s for s in reversed(self.strips)}
        self.strips = [s for s in self.strips if best[s.episode_id] is s][:STRIPS]

    def score(self) -> RolloutScore:
        """Divide the sums by how many there were."""
        steps = int((self.starts > 0).sum())
        starts = self.starts[:steps]
        predictors = []
        for name, sums in self.sums.items():
            mean = {key: _rounded(values[:steps] / starts) for key, values in sums.figures.items()}
            errors = (sums.figures["error"][:steps] / starts).tolist() if "error" in sums.figures else []
            predictors.append(
                PredictorScore(
                    predictor=name,
                    psnr=[round(-10 * math.log10(max(x, 1e-10)), 3) for x in errors],
                    ssim=mean.get("ssim", []),
                    edges=mean.get("edges", []),
                    codes=mean.get("codes", []),
                    cosine=mean.get("cosine", []),
                    codes_by_slot=[] if sums.slots is None else _rounded(sums.slots / starts[0]),
                )
            )
        return RolloutScore(embodiment=self.embodiment, starts=starts.tolist(), predictors=predictors)


def _compare(sums: _Sums, predicted: Tensor, truth: Tensor, counts: Tensor) -> None:
    one, other = predicted.flatten(0, 1).float() / 255, truth.flatten(0, 1).float() / 255
    for name, measure in {"error": squared_error, "ssim": ssim, "edges": edge_distance}.items():
        sums.add(name, measure(one, other).view(counts.shape), counts)


def _rounded(values: NDArray[np.float64]) -> list[float]:
    return [round(float(x), 5) for x in values]
