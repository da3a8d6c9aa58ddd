"""Windows become batches for the world model: pictures, and the latent actions between them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from dataengine.windows.window import Window
from models.batch import WorldBatch
from pipelines.training.frames import Buffers, Frames

SLOT = "primary"


@dataclass(frozen=True, kw_only=True)
class WorldCollator:
    """Collates windows into batches for the world model."""

    frames: Frames
    buffers: Buffers

    def collate(self, windows: Sequence[Window]) -> WorldBatch:
        """Stack clips (b, t) and their latent actions (b, t - 1)."""
        b, t, side = len(windows), len(windows[0].frames), self.frames.side
        out = self.buffers.take(SLOT, (b * t, side, side, 3))
        self.frames.fetch(SLOT, [(w.episode.row, int(frame)) for w in windows for frame in w.frames], out)
        latents = [w.latent for w in windows if w.latent is not None]
        masks = [w.latent_mask for w in windows if w.latent_mask is not None]
        return WorldBatch(
            video=torch.from_numpy(out).permute(0, 3, 1, 2).unflatten(0, (b, t)),
            frame_mask=torch.from_numpy(np.stack([w.frame_mask for w in windows])),
            latent=torch.from_numpy(np.stack(latents)),
            latent_mask=torch.from_numpy(np.stack(masks)),
        )
