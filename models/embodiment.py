"""Embodiment context: which robot moves and how often it is commanded, as one vector."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from models.parts import Random, uniform


class EmbodimentContext(nn.Module):
    """A learnt row per dataset beside an encoding of the control frequency (villa-X, equation 3).

    Row 0 is unknown. In training an id turns into 0 now and then, so that row 0 serves robots never seen; the
    frequency of a new robot is known, so it always stays.
    """

    def __init__(self, num_datasets: int, width: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.width, self.dropout = width, dropout
        self.dataset = nn.Embedding(num_datasets + 1, width)
        self.frequency = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))

    def forward(
        self, dataset_id: Int[Tensor, "b"], control_hz: Float[Tensor, "b"], random: Random = None
    ) -> Float[Tensor, "b d"]:
        """Return 2 x `width` numbers per clip; in training some stay anonymous at random."""
        if self.training and self.dropout:
            draw = uniform(dataset_id.shape, dataset_id.device, random)
            dataset_id = dataset_id * (draw >= self.dropout)
        half = self.width // 2
        period = 10000.0 ** (torch.arange(half, device=control_hz.device) / half)
        angle = control_hz.float()[:, None] / period
        wave = torch.cat([angle.cos(), angle.sin()], dim=-1)
        return torch.cat([self.dataset(dataset_id), self.frequency(wave)], dim=-1)
