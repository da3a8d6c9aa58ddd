"""The context group: which body this is, at what rate it moves, what its wrist sees and where it is."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from models.act.config import ActConfig
from models.act.embodiment import state_encoder
from models.act.wrist import WristEncoder
from models.batch import Observation
from models.layers.sinusoid import ScalarEmbedding


class Context(NamedTuple):
    """Tokens that the robot expert's weights process ahead of the robot's own."""

    tokens: Float[Tensor, "b c d"]
    exists: Bool[Tensor, "b c"]
    """False for the wrist tokens of a sample without a wrist view."""

    def repeat(self, times: int) -> "Context":
        """Repeat every batch row `times` times in a row."""
        return Context(self.tokens.repeat_interleave(times, 0), self.exists.repeat_interleave(times, 0))


class ContextEncoder(nn.Module):
    """Wrist tokens, has_wrist, dataset, steps per latent action, control rate, state: in this order."""

    def __init__(self, config: ActConfig) -> None:
        super().__init__()
        width = config.expert.width
        self.wrist = WristEncoder(config.wrist, width) if config.wrist else None
        self.has_wrist = nn.Embedding(2, width)
        self.dataset = nn.Embedding(config.num_datasets, width)
        self.steps_per_latent = ScalarEmbedding(width)
        self.control_hz = ScalarEmbedding(width)
        self.state = state_encoder(config.state_dims, width)
        for table in (self.has_wrist, self.dataset):
            nn.init.normal_(table.weight, std=1.0 / config.expert.entry)

    def forward(self, seen: Observation, has_wrist: Bool[Tensor, "b"]) -> Context:
        """Encode one observation; `has_wrist` may be less than what the observation holds (training drops views)."""
        tokens = [
            self.has_wrist(has_wrist.long())[:, None],
            self.dataset(seen.dataset_id)[:, None],
            self.steps_per_latent(seen.steps_per_latent)[:, None],
            self.control_hz(seen.control_hz)[:, None],
            self.state(seen.state.where(seen.state_mask, 0.0), seen.embodiment_id)[:, None],
        ]
        exists = has_wrist.new_ones(has_wrist.shape[0], len(tokens))
        if self.wrist is not None:
            wrist = self._wrist(seen, has_wrist)
            tokens.insert(0, wrist)
            exists = torch.cat([has_wrist[:, None].expand(-1, wrist.shape[1]), exists], dim=1)
        return Context(torch.cat([t.float() for t in tokens], dim=1), exists)

    def _wrist(self, seen: Observation, has_wrist: Bool[Tensor, "b"]) -> Float[Tensor, "b k d"]:
        """Encode wrist views. Batch norm sees every sample, as in the authors' code, unless no sample has a view."""
        assert self.wrist is not None
        if has_wrist.any():
            return self.wrist(seen.wrist)
        # A batch without views must not shift the running statistics; its parameters stay in the graph with gradient 0.
        touch = torch.stack([p.sum() for p in self.wrist.parameters()]).sum() * 0.0
        shape = (has_wrist.shape[0], self.wrist.config.num_tokens, self.has_wrist.embedding_dim)
        return touch.expand(shape)
