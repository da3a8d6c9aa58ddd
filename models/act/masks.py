"""Who may see whom. Streams in order VLM, latent, context, robot; each sees itself and the streams before it."""

import torch
from jaxtyping import Bool
from torch import Tensor

from models.parts import Random, uniform


def latent_rows(vlm: Bool[Tensor, "b v"], latent: Bool[Tensor, "b z"]) -> Bool[Tensor, "b z m"]:
    """Mask of the latent stream: the readable VLM tokens and the latent tokens that count. A token sees itself."""
    b, z = latent.shape
    own = latent[:, None] | torch.eye(z, dtype=torch.bool, device=latent.device)
    return torch.cat([vlm[:, None].expand(b, z, -1), own], dim=-1)


def robot_rows(
    vlm: Bool[Tensor, "b v"],
    latent: Bool[Tensor, "b z"],
    context: Bool[Tensor, "b c"],
    robot: Bool[Tensor, "b h"],
) -> Bool[Tensor, "b r m"]:
    """Mask of the robot expert: context rows see readable VLM, latent and context tokens; robot rows also the robot's.

    `latent` says which latent tokens show themselves, `context` which context tokens exist, `robot` which steps count.
    """
    b, c = context.shape
    h = robot.shape[1]
    before = torch.cat([vlm, latent, context], dim=1)[:, None].expand(b, c + h, -1)
    own = robot[:, None] | torch.eye(h, dtype=torch.bool, device=robot.device)
    own = torch.cat([own.new_zeros(b, c, h), own], dim=1)  # context rows do not see the robot's
    return torch.cat([before, own], dim=-1)


def draw_shown(
    shape: tuple[int, int], hidden: float, shown: float, device: torch.device, random: Random
) -> Bool[Tensor, "b z"]:
    """Draw which latent tokens the robot may see in training: none with chance `hidden`, else floor(shown * z)."""
    b, z = shape
    coin = uniform((b,), device, random)
    draws = uniform((b, z), device, random)
    return shown_from(coin, draws, hidden, shown)


def shown_from(coin: Tensor, draws: Tensor, hidden: float, shown: float) -> Bool[Tensor, "b z"]:
    """Turn uniform draws into visibility: the smallest draws are shown."""
    rank = draws.argsort(dim=1).argsort(dim=1)
    return (rank < int(shown * draws.shape[1])) & (coin >= hidden)[:, None]
