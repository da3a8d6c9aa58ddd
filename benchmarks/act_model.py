"""The actor of a preset, a batch for it, and its work as torch counts it; beside our models, torch and yaml suffice."""

from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from models.act import Act, ActConfig
from models.batch import ActBatch

RECIPES = Path(__file__).parent.parent / "pipelines" / "recipes"
HEAD_DIM = 7
"""Width of state and action of every embodiment."""


def act_config(preset: str, num_bodies: int = 2, **changes: Any) -> ActConfig:
    """Read the model of a preset, for so many embodiments, row 0 included."""
    base = yaml.safe_load((RECIPES / f"train_act_{preset}.yaml").read_text(encoding="utf-8"))["model"]
    dims = (HEAD_DIM,) * num_bodies
    fitted = {"state_dims": dims, "action_dims": dims, "num_datasets": num_bodies}
    return ActConfig.model_validate(ActConfig.changed(base, {**fitted, **changes}))


def make_batch(c: ActConfig, b: int, device: str) -> ActBatch:
    """Noise for robots of one embodiment, with a wrist view where the model takes one."""
    side, view = c.vlm.vision.image_size, c.wrist.image_size if c.wrist else 1

    def pixels(size: int) -> Tensor:
        image = torch.zeros((b, 3, size, size), dtype=torch.uint8)
        return image if device == "meta" else image.random_(0, 256)

    batch = ActBatch(
        image=pixels(side),
        wrist=pixels(view),
        has_wrist=torch.full((b,), c.wrist is not None),
        token_ids=torch.ones(b, c.vlm.text_length, dtype=torch.int64),
        token_mask=torch.ones(b, c.vlm.text_length, dtype=torch.bool),
        state=torch.randn(b, HEAD_DIM),
        state_mask=torch.ones(b, HEAD_DIM, dtype=torch.bool),
        embodiment_id=torch.ones(b, dtype=torch.int64),
        dataset_id=torch.ones(b, dtype=torch.int64),
        steps_per_latent=torch.full((b,), 3.0),
        control_hz=torch.full((b,), 5.0),
        latent=torch.randn(b, c.num_latents, c.codes_per_latent, c.latent_dim),
        latent_mask=torch.ones(b, c.num_latents, dtype=torch.bool),
        action=torch.rand(b, c.horizon, HEAD_DIM) * 2 - 1,
        action_mask=torch.ones(b, c.horizon, HEAD_DIM, dtype=torch.bool),
    )
    return batch.to(device)


def counted_flops(c: ActConfig, b: int = 2) -> tuple[int, int]:
    """Let torch count a row's forward pass, and forward and backward together, without computing them."""
    with torch.device("meta"):
        act = Act(c).train()
    batch = make_batch(c, b, "meta")
    with FlopCounterMode(display=False) as forward:
        loss, _ = act.loss(batch)
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    both = forward.get_total_flops() + backward.get_total_flops()
    return forward.get_total_flops() // b, both // b


def num_parameters(c: ActConfig) -> tuple[int, int]:
    """Count all parameters, and those that are trained."""
    with torch.device("meta"):
        act = Act(c)
    return sum(p.numel() for p in act.parameters()), sum(p.numel() for p in act.parameters() if p.requires_grad)
