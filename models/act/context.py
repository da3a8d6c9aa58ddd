"""Context tokens of the robot expert: embodiment, control rate, wrist view and proprioceptive state."""

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
    valid_mask: Bool[Tensor, "b c"]
    """False for the wrist tokens of a sample without a wrist view."""

    def repeat(self, times: int) -> "Context":
        """Repeat every batch row `times` times in a row."""
        return Context(self.tokens.repeat_interleave(times, 0), self.valid_mask.repeat_interleave(times, 0))


class ContextEncoder(nn.Module):
    """Encodes wrist tokens, has_wrist, dataset, steps per latent action, control rate, state: in this order."""

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
            nn.init.normal_(table.weight, std=1.0 / config.expert.embed_scale)

    def forward(self, observation: Observation, has_wrist: Bool[Tensor, "b"]) -> Context:
        """Encode one observation; `has_wrist` may be less than what the observation holds (training drops views)."""
        tokens = [
            self.has_wrist(has_wrist.long())[:, None],
            self.dataset(observation.dataset_id)[:, None],
            self.steps_per_latent(observation.steps_per_latent)[:, None],
            self.control_hz(observation.control_hz)[:, None],
            self.state(observation.state.where(observation.state_mask, 0.0), observation.embodiment_id)[:, None],
        ]
        valid_mask = has_wrist.new_ones(has_wrist.shape[0], len(tokens))
        if self.wrist is not None:
            wrist = self._wrist(observation, has_wrist)
            tokens.insert(0, wrist)
            valid_mask = torch.cat([has_wrist[:, None].expand(-1, wrist.shape[1]), valid_mask], dim=1)
        return Context(torch.cat([t.float() for t in tokens], dim=1), valid_mask)

    def _wrist(self, observation: Observation, has_wrist: Bool[Tensor, "b"]) -> Float[Tensor, "b k d"]:
        """Encode wrist views. Batch norm sees every sample, as in the authors' code, unless no sample has a view."""
        assert self.wrist is not None
        if has_wrist.any():
            return self.wrist(observation.wrist)
        # A batch without views must not shift the running statistics; its parameters stay in the graph with gradient 0.
        touch = torch.stack([p.sum() for p in self.wrist.parameters()]).sum() * 0.0
        shape = (has_wrist.shape[0], self.wrist.config.num_tokens, self.has_wrist.embedding_dim)
        return touch.expand(shape)
