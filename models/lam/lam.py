"""The latent action model: inverse dynamics, a codebook, and the visual and proprio forward models."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn

from models.batch import LamBatch
from models.lam.clips import as_clips
from models.lam.config import LamConfig
from models.lam.idm import InverseDynamics
from models.lam.proprio_fdm import ProprioForward, has_any
from models.lam.visual_fdm import VisualForward
from models.lam.vq import CODEBOOK, COMMITMENT, PAIRS, Quantizer, masked_mean
from models.parts import Counts, Random
from models.pictures import resize

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Latents(NamedTuple):
    """Latent actions between the neighbouring frames of clips."""

    tokens: Float[Tensor, "b n kd"]
    """Before the codebook, slots after one another."""
    quantized: Float[Tensor, "b n k d"]
    """Rows of the codebook: what policies learn to predict and `render` takes."""
    codes: Int[Tensor, "b n k"]


MOMENTUM, EPSILON = 0.1, 1e-5
"""Of batch normalisation, as everywhere in torch."""


class LatentNorm(nn.Module):
    """Batch normalisation without parameters: every number of a latent action gets mean 0 and deviation 1."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, tokens: Float[Tensor, "b n k d"]) -> Float[Tensor, "b n k d"]:
        """Normalise by the running statistics."""
        rows = tokens.float().flatten(2).flatten(0, 1)
        return F.batch_norm(rows, self.running_mean, self.running_var).view(tokens.shape)

    def by_batch(self, tokens: Float[Tensor, "b n k d"], mask: Bool[Tensor, "b n"]) -> Float[Tensor, "b n k d"]:
        """Normalise by the pairs of this batch that count, and update the running statistics."""
        rows, weight = tokens.float().flatten(2), mask[:, :, None] / mask.sum().clamp(min=1)
        mean = (rows * weight).sum(dim=(0, 1))
        var = ((rows - mean).square() * weight).sum(dim=(0, 1))
        with torch.no_grad():
            count = mask.sum()
            self.running_mean.lerp_(mean, MOMENTUM)
            self.running_var.lerp_(var * count / (count - 1).clamp(min=1), MOMENTUM)
        return ((rows - mean) * (var + EPSILON).rsqrt()).view(tokens.shape)


class Lam(nn.Module):
    """Learns latent actions from video, grounded in robots' states and actions (villa-X, arXiv:2507.23682).

    Video is uint8 of any size, on the device it is to be used on.
    """

    mean: Tensor
    std: Tensor
    encodes_in_bf16: bool
    """Whether latent actions are inferred in bfloat16: several times as fast on a GPU, and some codes are others. The
    codebook is read in float32 in any case."""

    def __init__(self, config: LamConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = InverseDynamics(config)
        self.norm = LatentNorm(config.latent_width) if config.normalize_latents else None
        self.vq = Quantizer(config)
        self.decoder = VisualForward(config)
        self.proprio = ProprioForward(config) if config.use_proprio else None
        self.latents_frozen = self.encodes_in_bf16 = False
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD)[:, None, None], persistent=False)

    def prepare(self, image: UInt8[Tensor, "*b c height width"]) -> Float[Tensor, "*b c side side"]:
        """Scale pictures to the model's resolution and normalise their colours."""
        pixels = resize(image, self.config.resolution).float()
        return (pixels / 255 - self.mean) / self.std

    def freeze_latents(self) -> None:
        """Train the proprio forward model only: latent actions, codebook and running statistics stay as they are."""
        if self.proprio is None:
            raise ValueError("nothing to train: latents are frozen and there is no proprio forward model")
        self.latents_frozen = True
        for name, weight in self.named_parameters():
            weight.requires_grad_(name.startswith("proprio."))
        self.train(self.training)

    def train(self, mode: bool = True) -> "Lam":
        """Switch to training; frozen parts stay in evaluation mode."""
        super().train(mode)
        if self.latents_frozen:
            for part in (self.encoder, self.norm, self.vq, self.decoder):
                if part is not None:
                    part.eval()
        return self

    def begin_step(self, step: int, num_steps: int) -> bool:
        """Advance the quantiser's schedule before an optimiser step; True if it moved codes (see `Quantizer`)."""
        return not self.latents_frozen and self.vq.begin_step(step, num_steps)

    def counts(self, batch: LamBatch, random: Random = None) -> dict[str, Tensor]:
        """Count what each mean of `loss` is over."""
        sums = {PAIRS: batch.frame_mask[:, 1:].sum()}
        if self.proprio is not None:
            sums |= {"state": has_any(batch.state_mask).sum(), "action": has_any(batch.action_mask).sum()}
        return sums

    def loss(
        self, batch: LamBatch, random: Random = None, counts: Counts | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Add up the visual, proprio and codebook errors, and describe them.

        A pair counts where both its frames exist. Works for any mixture of robots and humans; a batch of human clips
        alone gives a proprio error of 0. `counts` are those of all parts, where the batch is one of several. Codes are
        counted in the batch alone: they drift, and a slot that collapsed would seem to use many over several steps.
        """
        clip, valid = self.prepare(batch.video), batch.frame_mask[:, 1:]
        tokens = self.encoder(clip)
        if self.norm is not None:
            tokens = self.norm.by_batch(tokens, valid) if self.encoder.training else self.norm(tokens)
        quantized = self.vq(tokens, valid, counts, random)
        before, after = clip[:, :-1].flatten(0, 1), clip[:, 1:].flatten(0, 1)
        predicted = self.decoder(before, quantized.latents.flatten(0, 1))
        errors = [(x.float() - after).square().unflatten(0, valid.shape) for x in (predicted, before)]
        names = ("visual", "copy")
        visual, copy = (masked_mean(e, valid, counts, name) for e, name in zip(errors, names, strict=True))
        metrics = {"visual": visual, "visual_over_copy": visual / copy.clamp(min=1e-8), "vq": quantized.loss}
        if self.proprio is not None:
            proprio, details = self.proprio.loss(batch, quantized.latents, random, counts)
            metrics |= {"proprio": proprio, **details}
        loss = self._weigh(metrics)

        in_batch = self.vq.usage_of(quantized.codes, valid)
        perplexity = torch.special.entr(in_batch).sum(dim=1).exp()
        metrics |= {f"perplexity_slot_{k}": value for k, value in enumerate(perplexity)}
        metrics |= {f"codes_slot_{k}": value for k, value in enumerate(in_batch.count_nonzero(dim=1))}
        metrics["codes_used"] = in_batch.any(dim=0).sum()
        return loss, {name: value.detach().float() for name, value in {"loss": loss, **metrics}.items()}

    def _weigh(self, parts: Mapping[str, Tensor]) -> Tensor:
        """Add up the parts of the loss."""
        loss = parts["visual"] + parts["vq"]
        return loss + self.config.proprio_weight * parts["proprio"] if "proprio" in parts else loss

    def figures(self, means: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Make of the means over some rows what `loss` says of a batch; means that are over nothing are left out."""
        if "visual" not in means:
            return {}
        parts = {name: means[name] for name in ("visual", "state", "action", "state_if_held") if name in means}
        parts["visual_over_copy"] = means["visual"] / means["copy"].clamp(min=1e-8)
        parts["vq"] = self.vq.loss_of(means[COMMITMENT], means[CODEBOOK])
        proprio = [means[name] for name in ("state", "action") if name in means]
        if proprio:
            parts["proprio"] = torch.stack(proprio).sum()
        return {"loss": self._weigh(parts), **parts}

    @torch.no_grad()
    def encode(self, video: UInt8[Tensor, "*b t c height width"] | UInt8[np.ndarray, "*b t c height width"]) -> Latents:
        """Encode each step of a clip (t, 3, height, width), or of clips, of any length.

        Clips longer than `num_frames` are encoded in windows, one frame apart, many at once. Raise TypeError for what
        is no uint8 of torch or numpy, and ValueError for another shape.
        """
        clip = self.prepare(as_clips(video, self.mean.device))
        with self._encoding():
            tokens = self.encoder.encode_windows(clip)
        return self._latents(tokens)

    @torch.no_grad()
    def embed(self, frames: UInt8[Tensor, "n c height width"]) -> Float[Tensor, "n patches d"]:
        """Embed single frames for `encode_embedded`: one that is in many windows is embedded once."""
        with self._encoding():
            return self.encoder.embed_frames(self.prepare(frames))

    @torch.no_grad()
    def encode_embedded(self, windows: Float[Tensor, "b t patches d"]) -> Latents:
        """Encode each step of clips, no longer than `num_frames`, whose frames `embed` has embedded; see `encode`."""
        with self._encoding():
            tokens = self.encoder.encode(windows)
        return self._latents(tokens)

    def _encoding(self) -> torch.autocast:
        return torch.autocast(self.mean.device.type, torch.bfloat16, enabled=self.encodes_in_bf16)

    def _latents(self, tokens: Float[Tensor, "b n k d"]) -> Latents:
        with torch.autocast(tokens.device.type, enabled=False):
            tokens = tokens.float() if self.norm is None else self.norm(tokens)
            codes = self.vq.nearest(tokens)
            return Latents(tokens.flatten(2), self.vq.lookup(codes), codes)

    @torch.no_grad()
    def render(
        self, image: UInt8[Tensor, "b c height width"], latent: Float[Tensor, "b k d"]
    ) -> UInt8[Tensor, "b c side side"]:
        """Predict the frame that follows each image when `latent` happens; in float32.

        A sampled latent lies between codes: `snap` it first to stay where the model was trained.
        """
        with torch.autocast(image.device.type, enabled=False):
            predicted = self.decoder(self.prepare(image), latent.float())
        return ((predicted * self.std + self.mean) * 255).round().clamp(0, 255).to(torch.uint8)

    @torch.no_grad()
    def snap(self, latent: Float[Tensor, "*b k d"]) -> Float[Tensor, "*b k d"]:
        """Move every slot to its nearest code."""
        return self.vq.lookup(self.vq.nearest(latent))
