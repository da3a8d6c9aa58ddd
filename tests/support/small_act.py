"""An actor of a few thousand parameters, a batch for it, and the terms of its loss."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from models.act import Act, ActConfig, WristConfig
from models.batch import ActBatch
from models.layers.config import StackConfig
from models.vlm.config import VisionConfig, VlmConfig

ROBOT, OTHER = 1, 2


def config(**changes: Any) -> ActConfig:
    both = {"width": 16, "mlp_width": 32, "num_layers": 2, "num_heads": 2, "head_dim": 8}
    vision = VisionConfig(image_size=16, patch_size=8, width=16, mlp_width=32, num_layers=1, num_heads=2, stem="conv")
    fields: dict[str, Any] = {
        "vlm": VlmConfig(vision=vision, text=StackConfig(**both), vocab_size=32, text_length=5),
        "expert": StackConfig(**both, rope_theta=100.0),
        "wrist": WristConfig(image_size=32, widths=(4, 4, 8, 8), num_tokens=2, num_heads=2, head_dim=4),
        "state_dims": (4, 4, 3),
        "action_dims": (4, 4, 2),
        "num_datasets": 3,
        "num_latents": 2,
        "codes_per_latent": 2,
        "latent_dim": 3,
        "horizon": 4,
    }
    return ActConfig(**{**fields, **changes})


def make_batch(b: int = 4) -> ActBatch:
    """Robots of one body; the second has no wrist view."""
    g = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=g)

    def pixels(side: int) -> Tensor:
        return torch.randint(0, 256, (b, 3, side, side), dtype=torch.uint8, generator=g)

    return ActBatch(
        image=pixels(20),
        wrist=pixels(32),
        has_wrist=torch.arange(b) != 1,
        token_ids=torch.randint(1, 32, (b, 5), generator=g),
        token_mask=torch.ones(b, 5, dtype=torch.bool),
        state=normal(b, 4),
        state_mask=torch.ones(b, 4, dtype=torch.bool),
        embodiment_id=torch.full((b,), ROBOT),
        dataset_id=torch.full((b,), 2),
        steps_per_latent=torch.full((b,), 3.0),
        control_hz=torch.full((b,), 5.0),
        latent=normal(b, 2, 2, 3),
        latent_mask=torch.ones(b, 2, dtype=torch.bool),
        action=normal(b, 4, 4),
        action_mask=torch.ones(b, 4, 4, dtype=torch.bool),
    )


def human(batch: ActBatch) -> ActBatch:
    """The same clips as if people had made them: nothing felt, nothing commanded."""
    return replace(
        batch,
        embodiment_id=torch.zeros_like(batch.embodiment_id),
        state_mask=torch.zeros_like(batch.state_mask),
        action_mask=torch.zeros_like(batch.action_mask),
        has_wrist=torch.zeros_like(batch.has_wrist),
    )


def make_act(**changes: Any) -> Act:
    torch.manual_seed(0)
    return Act(config(**changes))


def terms(act: Act, batch: ActBatch) -> dict[str, Tensor]:
    return act.loss(batch, torch.Generator().manual_seed(7))[1]


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.allclose(a[k], b[k], atol=1e-6) for k in a)
