"""The inverse dynamics model: infers latent actions from pairs of neighbouring frames."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from models.lam.config import LamConfig
from models.lam.space_time import SpaceTimeBlock
from models.layers.norm import RMSNorm
from models.layers.sinusoid import sincos_1d, sincos_2d
from models.layers.transformer import CrossAttention, PatchEmbed, SwishGLU, xavier_

WINDOWS_AT_ONCE = 64
"""Of a long clip: enough to fill a GPU, few enough for an hour of video."""


class AttentionPooling(nn.Module):
    """Multi-head attention pooling (MAP): a learnt query per slot attends to a pair's patches."""

    def __init__(self, config: LamConfig) -> None:
        super().__init__()
        width = config.encoder_width
        self.latents = nn.Parameter(torch.randn(config.num_slots, width) * config.query_std)
        self.pre_projection = nn.Linear(width, width)
        self.attn = CrossAttention(width, config.map_heads, qk_norm=False)
        self.attn_norm = RMSNorm(width)
        self.mlp = nn.Sequential(SwishGLU(width, 4 * width), nn.Linear(4 * width, width))
        self.mlp_norm = RMSNorm(width)
        self.final_proj = nn.Sequential(nn.Linear(width, config.latent_dim))

    def forward(self, pairs: Float[Tensor, "b n width"]) -> Float[Tensor, "b k d"]:
        """Pool each pair into its slots."""
        queries = self.latents.expand(len(pairs), -1, -1)
        x = self.attn_norm(queries + self.attn(queries, self.pre_projection(pairs)))
        x = self.mlp_norm(x + self.mlp(x))
        return self.final_proj(x)


class InverseDynamics(nn.Module):
    """Encodes a clip to one latent action, not yet quantised, per pair of neighbouring frames.

    Attention over time is causal: the latents of a clip equal those of any longer clip that begins with it.
    """

    pe_spatial: Tensor
    pe_temporal: Tensor

    def __init__(self, config: LamConfig) -> None:
        super().__init__()
        width = config.encoder_width
        self.pooling = config.pooling
        self.num_frames = config.num_frames
        self.embed = PatchEmbed(config.patch_size, width)
        self.register_buffer("pe_spatial", sincos_2d(config.grid, width)[None])
        self.register_buffer("pe_temporal", sincos_1d(torch.arange(config.num_frames), width)[None])
        self.layers = nn.ModuleList(
            SpaceTimeBlock(width, config.encoder_heads, int(config.mlp_ratio * width), config.encoder_qk_norm)
            for _ in range(config.encoder_depth)
        )
        self.norm = RMSNorm(width)
        self.map_block = AttentionPooling(config)
        xavier_(self)

    def forward(self, clip: Float[Tensor, "b t c height width"]) -> Float[Tensor, "b t-1 k d"]:
        """Infer the latent action from frame i to frame i + 1 of clips no longer than `num_frames`."""
        return self.encode(self.embed_frames(clip))

    def embed_frames(self, frames: Float[Tensor, "*b c height width"]) -> Float[Tensor, "*b n d"]:
        """Embed single frames, independent of the window that they are in."""
        return (self.embed(frames.flatten(0, -4)) + self.pe_spatial).unflatten(0, frames.shape[:-3])

    def encode(self, x: Float[Tensor, "b t n d"]) -> Float[Tensor, "b t-1 k d_latent"]:
        """Infer the latent action of each step of clips whose frames are embedded."""
        b, t = x.shape[:2]
        time_pos = self.pe_temporal[0, :t, None]
        for i, layer in enumerate(self.layers):
            x = layer(x, time_pos if i == 0 else None)
        x = self.norm(x)
        before, after = x[:, :-1], x[:, 1:]
        pairs = (before + after) / 2 if self.pooling == "released" else after - before
        return self.map_block(pairs.flatten(0, 1)).unflatten(0, (b, t - 1))

    def encode_windows(self, clip: Float[Tensor, "b t c height width"]) -> Float[Tensor, "b t-1 k d"]:
        """Encode a clip of any length in windows of `num_frames`, one frame apart; each adds its last latent."""
        if clip.shape[1] <= self.num_frames:
            return self(clip)
        b, num_windows = len(clip), clip.shape[1] - self.num_frames + 1
        at_once = max(WINDOWS_AT_ONCE // b, 1)
        latents = []
        for first in range(0, num_windows, at_once):
            last = min(first + at_once, num_windows)
            x = self.embed_frames(clip[:, first : last + self.num_frames - 1])
            windows = rearrange(x.unfold(1, self.num_frames, 1), "b w n d t -> (b w) t n d")
            latents.append(self.encode(windows).unflatten(0, (b, -1)))
        return torch.cat([latents[0][:, 0], torch.cat(latents, dim=1)[:, 1:, -1]], dim=1)
