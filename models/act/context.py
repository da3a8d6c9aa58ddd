"""Context tokens of the robot expert: embodiment, control rate, wrist view and proprioceptive state."""

from typing import NamedTuple, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from models.act.config import ActConfig
from models.act.embodiment import RowLinear, state_encoder
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
    """Encodes tokens of further cameras and of the wrist, has_wrist, dataset, steps per latent action, rate, state.

    What the settings leave out has neither a token nor weights.
    """

    def __init__(self, config: ActConfig) -> None:
        super().__init__()
        self.width = width = config.expert.width
        choices = config.context
        self.wrist = WristEncoder(config.wrist, width) if config.wrist else None
        encoders: dict[str, nn.Module] = {
            slot: WristEncoder(config.wrist, width) for slot in config.more_cameras if config.wrist
        }
        self.views = nn.ModuleDict(encoders)
        self.has_wrist = nn.Embedding(2, width) if choices.has_wrist else None
        self.dataset = nn.Embedding(config.num_datasets, width) if choices.dataset else None
        self.steps_per_latent = ScalarEmbedding(width) if choices.steps_per_latent else None
        self.control_hz = ScalarEmbedding(width) if choices.control_hz else None
        self.state = state_encoder(config.state_dims, width) if choices.state else None
        for table in (self.has_wrist, self.dataset):
            if table is not None:
                nn.init.normal_(table.weight, std=1.0 / config.expert.embed_scale)

    def forward(
        self,
        observation: Observation,
        has_wrist: Bool[Tensor, "b"],
        encode_state: RowLinear | None = None,
        has_views: Bool[Tensor, "b v"] | None = None,
    ) -> Context:
        """Encode one observation; `has_wrist` may be less than what the observation holds (training drops views).

        So may `has_views`; None says that they are what it holds.
        `encode_state` is the layer of its rows' embodiments, where that is at hand.
        """
        encoders = [
            (self.has_wrist, (has_wrist.long(),)),
            (self.dataset, (observation.dataset_id,)),
            (self.steps_per_latent, (observation.steps_per_latent,)),
            (self.control_hz, (observation.control_hz,)),
        ]
        tokens = [encode(*of)[:, None] for encode, of in encoders if encode is not None]
        state = observation.state.where(observation.state_mask, 0.0)
        if encode_state is not None:
            tokens.append(encode_state(state[:, None].to(encode_state.weight.dtype)))
        elif self.state is not None:
            tokens.append(self.state(state, observation.embodiment_id)[:, None])
        valid_mask = has_wrist.new_ones(has_wrist.shape[0], len(tokens))
        if self.wrist is not None:
            wrist = self._wrist(observation, has_wrist)
            tokens.insert(0, wrist)
            valid_mask = torch.cat([has_wrist[:, None].expand(-1, wrist.shape[1]), valid_mask], dim=1)
        for i, encoder in enumerate(self.views.values()):
            view, there = self._view(encoder, observation, i, has_views)
            tokens.insert(i, view)
            before = i * view.shape[1]
            mask = there[:, None].expand(-1, view.shape[1])
            valid_mask = torch.cat([valid_mask[:, :before], mask, valid_mask[:, before:]], dim=1)
        nothing = observation.state.new_zeros(has_wrist.shape[0], 0, self.width)
        return Context(torch.cat([nothing, *(t.float() for t in tokens)], dim=1), valid_mask)

    def _view(
        self, encoder: nn.Module, observation: Observation, i: int, has_views: Bool[Tensor, "b v"] | None
    ) -> tuple[Float[Tensor, "b k d"], Bool[Tensor, "b"]]:
        """Encode further camera i and say which rows have it; without pictures none has."""
        b, device = observation.state.shape[0], observation.state.device
        if observation.views is None or observation.has_views is None:
            shape = (b, cast(WristEncoder, encoder).config.num_tokens, self.width)
            return torch.zeros(shape, device=device), torch.zeros(b, dtype=torch.bool, device=device)
        there = (observation.has_views if has_views is None else has_views)[:, i].to(device, non_blocking=True)
        if self.training and not observation.has_views[:, i].any():  # asked on the CPU, as of the wrist
            return self._untouched(encoder, b), there
        return encoder(observation.views[:, i]), there

    def _wrist(self, observation: Observation, has_wrist: Bool[Tensor, "b"]) -> Float[Tensor, "b k d"]:
        """Encode wrist views. Batch norm sees every sample, as in the authors' code, unless no sample has a view.

        That is asked of the observation, whose `has_wrist` lies on the CPU: asking the device means to wait for it.
        """
        assert self.wrist is not None
        if observation.has_wrist.any():
            return self.wrist(observation.wrist)
        return self._untouched(self.wrist, has_wrist.shape[0])

    def _untouched(self, encoder: nn.Module, b: int) -> Float[Tensor, "b k d"]:
        """Give zeros: a batch without views must not shift running statistics; parameters stay in the graph."""
        touch = torch.stack([p.sum() for p in encoder.parameters()]).sum() * 0.0
        return touch.expand(b, cast(WristEncoder, encoder).config.num_tokens, self.width)
