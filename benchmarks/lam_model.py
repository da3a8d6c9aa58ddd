"""The latent action model of a preset, a batch for it, and its work as torch counts it; our models suffice."""

from pathlib import Path

import torch
import yaml
from torch.utils.flop_counter import FlopCounterMode

from models.batch import LamBatch
from models.lam import Lam, LamConfig

HZ = 10.0
RECIPES = Path(__file__).parent.parent / "pipelines" / "recipes"


def lam_config(preset: str) -> LamConfig:
    """Read the model of a preset."""
    said = yaml.safe_load((RECIPES / f"train_lam_{preset}.yaml").read_text(encoding="utf-8"))
    return LamConfig.model_validate(LamConfig.saved_as_today(said.get("model") or {}))


def make_batch(c: LamConfig, num_clips: int, device: str) -> LamBatch:
    """Noise that moves, for robots at 10 Hz."""
    t, h, side = c.num_frames, max(int(c.interval_s * HZ), 1), c.resolution
    pairs = (num_clips, t - 1)
    video = torch.zeros((num_clips, t, 3, side, side), dtype=torch.uint8, device=device)
    return LamBatch(
        video=video if device == "meta" else video.random_(0, 256),
        frame_mask=torch.ones(num_clips, t, dtype=torch.bool, device=device),
        state=torch.zeros(*pairs, c.state_dim, device=device),
        future_state=torch.zeros(*pairs, h, c.state_dim, device=device),
        action=torch.zeros(*pairs, h, c.action_dim, device=device),
        state_mask=torch.ones(*pairs, h, c.state_dim, dtype=torch.bool, device=device),
        action_mask=torch.ones(*pairs, h, c.action_dim, dtype=torch.bool, device=device),
        dataset_id=torch.ones(num_clips, dtype=torch.int64, device=device),
        control_hz=torch.full((num_clips,), HZ, device=device),
    )


def counted_flops(c: LamConfig, num_clips: int = 2) -> tuple[int, int]:
    """Let torch count a clip's forward pass, and forward and backward together, without computing them."""
    with torch.device("meta"):
        lam = Lam(c)
    batch = make_batch(c, num_clips, "meta")
    with FlopCounterMode(display=False) as forward:
        loss, _ = lam.loss(batch)
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    both = forward.get_total_flops() + backward.get_total_flops()
    return forward.get_total_flops() // num_clips, both // num_clips
