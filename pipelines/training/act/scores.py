"""Does a policy imitate? Its losses and its sampled actions on episodes that it never saw."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from pydantic import Field

from dataengine.report import Report
from dataengine.windows.episode_info import EpisodeInfo
from dataengine.windows.mixture import WindowSampler
from dataengine.windows.window import EpisodeReader, WindowSpec, cut_window
from models.act import Act
from models.act.sampler import Sampler
from pipelines.training.collators import ActCollator

WINDOWS_AT_ONCE = 64


class ImitationScore(Report):
    """How one robot's sampled actions differ from those that were recorded, in normalised units."""

    embodiment: str
    windows: int
    action_error: float
    """Mean absolute error of chunks sampled from zero noise."""
    held_error: float
    """The same when always doing the mean action of these windows."""


class ActScores(Report):
    """How a policy imitates held-out episodes. Closed-loop success is another matter: `villa eval`."""

    losses: dict[str, float] = Field(default_factory=dict)
    """Flow-matching errors by name, averaged over batches."""
    embodiments: list[ImitationScore] = Field(default_factory=list)
    latent_error: float | None = None
    """Mean absolute error of planned latent actions, in units of their root mean square."""


@torch.no_grad()
def evaluate(
    act: Act, reader: EpisodeReader, collator: ActCollator, spec: WindowSpec, episodes: Sequence[EpisodeInfo], most: int
) -> ActScores:
    """Score the policy on up to `most` windows of every embodiment among the episodes; only on steps that they have."""
    collator = replace(collator, padded_actions="skip")
    was_training = act.training
    act.eval()
    policy = Sampler(act.merged())
    device = next(act.parameters()).device
    generator = torch.Generator(device).manual_seed(0)
    losses: list[dict[str, float]] = []
    embodiments: list[ImitationScore] = []
    planned: list[float] = []
    for embodiment in sorted({e.embodiment for e in episodes}):
        mine = [e for e in episodes if e.embodiment == embodiment and spec.num_windows(e)]
        if not mine:
            continue
        sampler = WindowSampler(mine, spec, batch_size=1, seed=0)
        rows, starts = sampler.at(np.arange(min(most, sampler.windows_per_epoch)))
        windows = [cut_window(reader, spec, int(row), int(start)) for row, start in zip(rows, starts, strict=True)]
        windows = collator.frames.readable(windows)
        wrong, wanted = [], []
        for first in range(0, len(windows), WINDOWS_AT_ONCE):
            batch = collator.collate(windows[first : first + WINDOWS_AT_ONCE]).to(device)
            _, figures = act.loss(batch, generator)
            losses.append({name: float(value) for name, value in figures.items()})
            latents, actions = policy.sample(batch)
            wrong.append((actions - batch.action).abs()[batch.action_mask])
            wanted.append(torch.where(batch.action_mask, batch.action, torch.nan))
            if act.config.denoises_plan and batch.latent_mask.any():
                distance = (latents - batch.latent).abs()[batch.latent_mask]
                planned.append(float(distance.mean()) / act.config.latent_scale)
        error = torch.cat(wrong)
        if len(error):
            true = torch.cat(wanted)
            away = (true - true.nanmean(dim=0)).abs()
            embodiments.append(
                ImitationScore(
                    embodiment=embodiment,
                    windows=len(windows),
                    action_error=float(error.mean()),
                    held_error=float(away.nanmean()),
                )
            )
    act.train(was_training)
    names = losses[0] if losses else {}
    return ActScores(
        losses={name: float(np.mean([one[name] for one in losses])) for name in names},
        embodiments=embodiments,
        latent_error=float(np.mean(planned)) if planned else None,
    )
