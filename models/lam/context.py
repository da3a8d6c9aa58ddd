"""Embodiment context of villa-X: dataset and control rate as one vector."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from models.parts import Random, uniform


class DatasetContext(nn.Module):
    """A learnt embedding of the dataset, which stands for the embodiment, and one of the control rate (equation 3).

    Row 0 is the unknown dataset. In training ids become 0 with probability `dropout`, so that row 0 serves robots that
    were never seen; the control rate of a new robot is known, so it is not dropped.
    """

    def __init__(self, num_datasets: int, width: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.width, self.dropout = width, dropout
        self.dataset = nn.Embedding(num_datasets + 1, width)
        self.frequency = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))

    def forward(
        self, dataset_id: Int[Tensor, "b"], control_hz: Float[Tensor, "b"], random: Random = None
    ) -> Float[Tensor, "b d"]:
        """Return 2 x `width` numbers per clip; in training dataset ids are dropped at random."""
        if self.training and self.dropout:
            draw = uniform(dataset_id.shape, dataset_id.device, random)
            dataset_id = dataset_id * (draw >= self.dropout)
        half = self.width // 2
        period = 10000.0 ** (torch.arange(half, device=control_hz.device) / half)
        angle = control_hz.float()[:, None] / period
        wave = torch.cat([angle.cos(), angle.sin()], dim=-1)
        return torch.cat([self.dataset(dataset_id), self.frequency(wave)], dim=-1)
