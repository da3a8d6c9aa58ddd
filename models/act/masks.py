"""Block-causal attention masks: streams in order VLM, latent, context, robot; each attends to itself and those before.

Masks are true where a row may attend to a column.
"""

import torch
from jaxtyping import Bool
from torch import Tensor

from models.parts import Random, uniform


def latent_attention_mask(prefix_mask: Bool[Tensor, "b v"], valid_mask: Bool[Tensor, "b z"]) -> Bool[Tensor, "b z m"]:
    """Mask of the latent expert: prefix tokens that are no padding, valid latent tokens, and each token itself."""
    b, z = valid_mask.shape
    own = valid_mask[:, None] | torch.eye(z, dtype=torch.bool, device=valid_mask.device)
    return torch.cat([prefix_mask[:, None].expand(b, z, -1), own], dim=-1)


def robot_attention_mask(
    prefix_mask: Bool[Tensor, "b v"],
    visible_mask: Bool[Tensor, "b z"],
    context_mask: Bool[Tensor, "b c"],
    valid_mask: Bool[Tensor, "b h"],
) -> Bool[Tensor, "b r m"]:
    """Mask of the robot expert: context rows attend to prefix, latent and context tokens, robot rows to all.

    `visible_mask` marks the latent tokens that are not dropped, `context_mask` the context tokens that exist,
    `valid_mask` the control steps that are no padding.
    """
    b, c = context_mask.shape
    h = valid_mask.shape[1]
    before = torch.cat([prefix_mask, visible_mask, context_mask], dim=1)[:, None].expand(b, c + h, -1)
    own = valid_mask[:, None] | torch.eye(h, dtype=torch.bool, device=valid_mask.device)
    own = torch.cat([own.new_zeros(b, c, h), own], dim=1)  # context rows do not attend to the robot's
    return torch.cat([before, own], dim=-1)


def draw_visible_mask(
    shape: tuple[int, int], dropout: float, keep_ratio: float, device: torch.device, random: Random, unit: int = 1
) -> Bool[Tensor, "b z"]:
    """Draw the latent tokens that the robot expert attends to in training.

    None with probability `dropout`, else floor(keep_ratio * z / unit) times `unit` neighbours.
    """
    b, z = shape
    coin = uniform((b,), device, random)
    draws = uniform((b, z // unit), device, random)
    return visible_mask_from(coin, draws, dropout, keep_ratio).repeat_interleave(unit, 1)


def visible_mask_from(coin: Tensor, draws: Tensor, dropout: float, keep_ratio: float) -> Bool[Tensor, "b z"]:
    """Turn uniform draws, (b,) and (b, z), into the mask: tokens with the smallest draws are visible."""
    rank = draws.argsort(dim=1).argsort(dim=1)
    return (rank < int(keep_ratio * draws.shape[1])) & (coin >= dropout)[:, None]
