"""The latent action model of a preset, a batch for it, and its work counted by hand; beside our models, torch suffices.

Work is 2 for each number of a matrix that meets one of x; attention over time counts in full although it is causal.
"""

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


def forward_flops(c: LamConfig) -> int:
    """Multiplications and additions of one clip's forward pass: 2 for each number of a matrix that meets one of x."""
    t, n, k, d, e = c.num_frames, c.num_patches, c.num_slots, c.encoder_width, c.decoder_width
    pairs, patch = t - 1, 3 * c.patch_size**2
    # A token's share of one block: q, k, v and output for space, and for time; feed-forward; scores and their sums.
    encoder_token = 2 * patch * d + c.encoder_depth * (16 * d**2 + 4 * int(c.mlp_ratio * d) * d + 4 * n * d + 4 * t * d)
    readout = 6 * n * d**2 + 4 * k * n * d + k * (4 * d**2 + 24 * d**2 + 2 * d * c.latent_dim)
    m = n + (c.conditioning == "token")
    decoder = 2 * n * patch * e * 2 + 2 * c.latent_width * e + c.decoder_depth * (m * (8 + 24) * e**2 + 4 * m**2 * e)
    decoder += c.decoder_depth * 8 * e**2 * (c.conditioning == "film")
    vq = 2 * c.latent_width * c.num_codes
    proprio = 0
    if c.use_proprio:
        width = c.state_dim + c.latent_width + 2 * c.context_width * c.use_context
        heads = c.max_horizon * (c.state_dim + c.action_dim)
        proprio = 2 * c.proprio_hidden * (width + c.proprio_hidden + heads) * pairs
        proprio += 4 * c.context_width**2 * c.use_context
    return t * n * encoder_token + pairs * (readout + decoder + vq) + proprio


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
