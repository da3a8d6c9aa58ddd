"""The visual forward dynamics model: predicts the next frame from a frame and a latent action."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from models.lam.config import LamConfig
from models.layers.norm import RMSNorm
from models.layers.sinusoid import sincos_2d
from models.layers.transformer import DecoderBlock, PatchEmbed, xavier_


class VisualForward(nn.Module):
    """Predicts the next frame, in the same normalised colours as its input."""

    pe: Tensor

    def __init__(self, config: LamConfig) -> None:
        super().__init__()
        width = config.decoder_width
        self.grid, self.patch_size = config.grid, config.patch_size
        self.residual, self.prepend = config.residual_output, config.conditioning == "token"
        self.embed = PatchEmbed(config.patch_size, width)
        self.register_buffer("pe", sincos_2d(config.grid, width)[None])
        self.action_embed = nn.Linear(config.latent_width, width)
        self.layers = nn.ModuleList(
            DecoderBlock(width, config.decoder_heads, config.decoder_qk_norm, film=not self.prepend)
            for _ in range(config.decoder_depth)
        )
        self.norm = RMSNorm(width)
        self.pred_head = nn.Linear(width, 3 * config.patch_size**2)
        xavier_(self)
        if self.residual:
            nn.init.zeros_(self.pred_head.weight)

    def forward(
        self, image: Float[Tensor, "b c height width"], latent: Float[Tensor, "b k d"]
    ) -> Float[Tensor, "b c height width"]:
        """Predict the frame that follows `image` when `latent` happens."""
        action = self.action_embed(latent.flatten(1))[:, None]
        x = self.embed(image) + self.pe
        if self.prepend:
            x = torch.cat([action, x], dim=1)
        for layer in self.layers:
            x = layer(x, action)
        x = self.pred_head(self.norm(x[:, 1:] if self.prepend else x))
        predicted = rearrange(
            x, "b (h w) (p q c) -> b c (h p) (w q)", h=self.grid, p=self.patch_size, q=self.patch_size
        )
        return image + predicted if self.residual else predicted
