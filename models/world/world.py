"""The world model: which frames follow when latent actions happen, one after another.

No architecture or recipe of villa-X's own was published, so this one is ours: the latent action model's visual
forward model with a few frames of context, trained on rollouts in which its own output is the next context.
"""

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn

from models.batch import WorldBatch
from models.layers.norm import RMSNorm
from models.layers.sinusoid import sincos_2d
from models.layers.transformer import DecoderBlock, xavier_
from models.parts import Counts, Random, mean_of, uniform
from models.pictures import resize
from models.world.config import WorldConfig


class World(nn.Module):
    """Predicts the change from the current frame to the next, given a few frames and the latent action between.

    Video is uint8 of any size; inside, colours run from -1 to 1.
    """

    pe: Tensor

    def __init__(self, config: WorldConfig) -> None:
        super().__init__()
        width, patch = config.width, config.patch_size
        self.config = config
        self.num_steps = config.rollout
        # Frames enter as channels: as many tokens as the current frame has, however long the context.
        self.embed = nn.Conv2d(3 * config.context, width, patch, stride=patch)
        self.register_buffer("pe", sincos_2d(config.grid, width)[None], persistent=False)
        self.action = nn.Sequential(
            nn.Linear(config.num_slots * config.latent_dim, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.layers = nn.ModuleList(
            DecoderBlock(width, config.heads, config.qk_norm, film=True) for _ in range(config.depth)
        )
        self.norm = RMSNorm(width)
        self.head = nn.Linear(width, 3 * patch**2)
        xavier_(self)
        # No change at all: training starts at the error of copying the frame.
        nn.init.zeros_(self.head.weight)

    def prepare(self, video: UInt8[Tensor, "*b c height width"]) -> Float[Tensor, "*b c side side"]:
        """Scale pictures to the model's resolution and colours to -1 .. 1."""
        return resize(video, self.config.resolution).float() / 127.5 - 1

    def forward(
        self, history: Float[Tensor, "b t c height width"], latent: Float[Tensor, "b k d"]
    ) -> Float[Tensor, "b c height width"]:
        """Predict the frame after `context` frames of history; not clipped to the range of colours."""
        g, p = self.config.grid, self.config.patch_size
        x = self.embed(rearrange(history, "b t c height width -> b (t c) height width"))
        x = x.flatten(2).transpose(1, 2) + self.pe
        action = self.action(latent.flatten(1) / self.config.latent_scale)[:, None]
        for layer in self.layers:
            x = layer(x, action)
        change = self.head(self.norm(x)).float()
        return history[:, -1] + rearrange(change, "b (h w) (p q c) -> b c (h p) (w q)", h=g, w=g, p=p, q=p)

    def roll_out(
        self, history: Float[Tensor, "b t c height width"], latents: Float[Tensor, "b n k d"]
    ) -> Float[Tensor, "b n c height width"]:
        """Predict a frame for each latent action; each becomes, clipped, the newest of the next one's history."""
        predicted = []
        for latent in latents.unbind(1):
            frame = self(history, latent)
            predicted.append(frame)
            history = torch.cat([history[:, 1:], frame.clamp(-1, 1)[:, None]], dim=1)
        return torch.stack(predicted, dim=1)

    def begin_step(self, step: int, num_steps: int) -> None:
        """Set how far this optimiser step rolls out: a function of the step alone, so that resumed runs agree."""
        c = self.config
        grown = step / (c.rollout_growth * num_steps) if c.rollout_growth else 1.0
        self.num_steps = 1 + int((c.rollout - 1) * min(grown, 1.0))

    def counts(self, batch: WorldBatch, random: Random = None) -> dict[str, Tensor]:
        """Count the frames that `loss` averages over; `random` must give what it will give to `loss`."""
        return {"frames": self._choose_rollouts(batch, random)[2].sum()}

    def loss(
        self, batch: WorldBatch, random: Random = None, counts: Counts | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Average the error over the frames of rollouts that exist, and describe it.

        While training, rollouts begin after 1 to `context` real frames, so that one picture is context enough; else
        after as many as there are. From the first missing frame or latent action on a rollout counts nothing.
        `counts` are those of all parts, where the batch is one of several.
        """
        frames = self.prepare(batch.video)
        rows, ahead, valid = self._choose_rollouts(batch, random)
        back = torch.arange(1 - self.config.context, 1, device=ahead.device)
        history = frames[rows, (ahead[:, :1] + back).clamp(min=0)]
        truth = frames[rows, ahead + 1]

        predicted = self.roll_out(history, batch.latent[rows, ahead])
        off = predicted.float() - truth
        error = (off.square() if self.config.error == "squared" else off.abs()).mean(dim=(2, 3, 4))
        loss = mean_of(error * valid, valid, counts, "frames")
        with torch.no_grad():
            squared = off.square().mean(dim=(2, 3, 4))
            copied = (history[:, -1:] - truth).square().mean(dim=(2, 3, 4))
            over_copy = (squared * valid).sum(0) / (copied * valid).sum(0).clamp(min=1e-8)
        return loss, {
            "over_copy_first": over_copy[0],
            "over_copy_last": over_copy[-1],
            "counted": valid.float().mean(),
        }

    def _choose_rollouts(
        self, batch: WorldBatch, random: Random
    ) -> tuple[Int[Tensor, "b 1"], Int[Tensor, "b n"], Int[Tensor, "b n"]]:
        """Give the clips, the frames that rollouts predict from, and 1 where what follows counts."""
        n = self.num_steps if self.training else self.config.rollout
        now = self._first_frames(batch.frame_mask, n, random)
        rows = torch.arange(len(now), device=now.device)[:, None]
        ahead = now[:, None] + torch.arange(n, device=now.device)
        return rows, ahead, (batch.frame_mask[rows, ahead + 1] & batch.latent_mask[rows, ahead]).cumprod(dim=1)

    def _first_frames(self, frame_mask: Bool[Tensor, "b t"], n: int, random: Random) -> Int[Tensor, "b"]:
        """Choose the frame from which each rollout begins; something must follow it."""
        room = frame_mask.shape[1] - 1 - n
        if room < 0:
            raise ValueError(f"clips of {frame_mask.shape[1]} frames are too short for rollouts of {n} steps")
        latest = (frame_mask.sum(dim=1) - 2).clamp(0, min(self.config.context - 1, room))
        if not self.training:
            return latest
        draw = uniform(latest.shape, latest.device, random)
        return (draw * (latest + 1)).long()

    @torch.no_grad()
    def render(
        self, history: UInt8[Tensor, "b t c height width"], latents: Float[Tensor, "b n k d"]
    ) -> UInt8[Tensor, "b n c side side"]:
        """Predict the frames that follow some frames (one is enough) under latent actions in a row; in float32."""
        with torch.autocast(history.device.type, enabled=False):
            frames = self.prepare(history[:, -self.config.context :])
            first = frames[:, :1].expand(-1, self.config.context - frames.shape[1], -1, -1, -1)
            predicted = self.roll_out(torch.cat([first, frames], dim=1), latents.float())
        return ((predicted + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
