"""Latent actions that a model computes while a policy is trained, in place of a column that was written before.

As in the authors' code the model sees the frames from the observation on, one latent action apart: each latent action
knows those frames that are in the plan before it, and none of the past.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dataengine.windows.window import EpisodeReader, LatentInfo, Window
from models.fingerprint import fingerprint
from models.lam import Lam
from models.weights import load_lam
from pipelines.training.frames import Frames

NAME = "online"
"""Of latent actions that no column holds."""


@dataclass(frozen=True, kw_only=True)
class OnlineLatents:
    """A latent action model beside the data; it is not trained."""

    lam: Lam
    frames: Frames
    info: LatentInfo

    @classmethod
    def read(cls, directory: Path, reader: EpisodeReader, device: torch.device, cache_mb: float) -> "OnlineLatents":
        """Read the model; raise ValueError, in one line, for a folder that holds none."""
        lam = load_lam(directory, device).requires_grad_(False)
        c = lam.config
        info = LatentInfo(
            name=NAME,
            fingerprint=fingerprint(directory),
            k=c.num_slots,
            d=c.latent_dim,
            interval_s=c.interval_s,
            past_frames=False,
        )
        frames = Frames(reader, ("primary",), c.resolution, cache_mb=cache_mb)
        return cls(lam=lam, frames=frames, info=info)

    @property
    def rms(self) -> float:
        """Root mean square of the codebook, all codes alike."""
        return float(self.lam.vq.embedding.weight.detach().double().square().mean().sqrt())

    def plans(self, windows: Sequence[Window], num_latents: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Give the latent actions (b, n, k, d) that follow, and which there are: the episode has both their frames."""
        steps = np.arange(num_latents + 1)
        wanted = np.array([w.start + w.stride * steps for w in windows])
        last = np.array([w.episode.num_steps - 1 for w in windows])[:, None]
        has_camera = np.array(["primary" in w.episode.cameras for w in windows])[:, None]
        mask = (wanted <= last)[:, 1:] & has_camera
        # Attention is causal in time: what is filled in behind an episode's end changes nothing before it.
        shown = np.minimum(wanted, last)
        pixels = np.zeros((*shown.shape, self.frames.side, self.frames.side, 3), np.uint8)
        for i, w in enumerate(windows):
            if has_camera[i]:
                self.frames.fetch("primary", [(w.episode.row, int(frame)) for frame in shown[i]], pixels[i])
        video = torch.from_numpy(pixels).permute(0, 1, 4, 2, 3).to(self.lam.mean.device)
        latent = self.lam.encode(video).quantized.float().cpu().numpy()
        return latent * mask[:, :, None, None], mask
