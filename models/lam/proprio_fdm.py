"""The proprio forward dynamics model: predicts future states and actions from the state, a latent action and the
embodiment context. It grounds latent actions in robot actions (villa-X, section 3.1).
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from models.batch import LamBatch
from models.lam.config import LamConfig
from models.lam.context import DatasetContext
from models.parts import Counts, Random, mean_of


def masked_mse(
    predicted: Float[Tensor, "b n h d"],
    target: Float[Tensor, "b n h d"],
    mask: Bool[Tensor, "b n h d"],
    counts: Counts | None = None,
    name: str = "",
    figure: str = "",
) -> Float[Tensor, ""]:
    """Average the error over each pair's valid numbers, then over the pairs that have any; 0 if none has."""
    count = mask.sum(dim=(2, 3))
    target = torch.where(mask, target, 0.0)  # a masked target may hold anything, NaN included
    error = ((predicted.float() - target).square() * mask).sum(dim=(2, 3))
    return mean_of(error / count.clamp(min=1), has_any(mask), counts, name, figure)


def has_any(mask: Bool[Tensor, "b n h d"]) -> Bool[Tensor, "b n"]:
    """Tell which pairs have a valid number."""
    return mask.flatten(2).any(dim=2)


class ProprioForward(nn.Module):
    """A two-layer network with two heads.

    The state head predicts the change from the present state, so training starts near the error of repeating it.
    """

    def __init__(self, config: LamConfig) -> None:
        super().__init__()
        self.state_dim, self.action_dim, self.max_horizon = config.state_dim, config.action_dim, config.max_horizon
        self.context = None
        width = config.state_dim + config.latent_width
        if config.use_context:
            self.context = DatasetContext(config.num_datasets, config.context_width, config.context_dropout)
            width += 2 * config.context_width
        hidden = config.proprio_hidden
        self.trunk = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU())
        self.state_head = nn.Linear(hidden, config.max_horizon * config.state_dim)
        self.action_head = nn.Linear(hidden, config.max_horizon * config.action_dim)

    def forward(
        self,
        state: Float[Tensor, "b n s"],
        latent: Float[Tensor, "b n k d"],
        dataset_id: Tensor,
        control_hz: Tensor,
        random: Random = None,
    ) -> tuple[Float[Tensor, "b n h s_max"], Float[Tensor, "b n h a_max"]]:
        """Predict `max_horizon` future states and the actions that lead there, all normalised, in padded width."""
        state = F.pad(state, (0, self.state_dim - state.shape[-1]))
        x = [state, latent.flatten(2)]
        if self.context is not None:
            context = self.context(dataset_id, control_hz, random)
            x.append(context[:, None].expand(-1, state.shape[1], -1))
        hidden = self.trunk(torch.cat(x, dim=-1))
        change = self.state_head(hidden).unflatten(-1, (self.max_horizon, self.state_dim))
        action = self.action_head(hidden).unflatten(-1, (self.max_horizon, self.action_dim))
        return state[:, :, None] + change, action

    def loss(
        self, batch: LamBatch, latent: Float[Tensor, "b n k d"], random: Random, counts: Counts | None = None
    ) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """Sum the errors of states and actions; both are 0, with gradients, for a batch without robots."""
        _check_fits(batch, self.state_dim, self.action_dim, self.max_horizon)
        state = torch.where(batch.state_mask.any(dim=2), batch.state, 0.0)
        future, action = self(state, latent, batch.dataset_id, batch.control_hz, random)
        h, s, a = batch.action.shape[2], batch.state.shape[-1], batch.action.shape[-1]
        state_error = masked_mse(future[:, :, :h, :s], batch.future_state, batch.state_mask, counts, "state")
        action_error = masked_mse(action[:, :, :h, :a], batch.action, batch.action_mask, counts, "action")
        held = state[:, :, None].expand_as(batch.future_state)
        hold = masked_mse(held, batch.future_state, batch.state_mask, counts, "state", "state_if_held")
        metrics = {"state": state_error, "action": action_error, "state_if_held": hold}
        return state_error + action_error, metrics


def _check_fits(batch: LamBatch, state_dim: int, action_dim: int, max_horizon: int) -> None:
    h, s, a = batch.action.shape[2], batch.state.shape[-1], batch.action.shape[-1]
    if h > max_horizon or s > state_dim or a > action_dim:
        raise ValueError(
            f"batch has horizon {h}, state {s}, action {a}; the model was built for at most"
            f" {max_horizon}, {state_dim}, {action_dim}: raise max_horizon, state_dim or action_dim"
        )
