"""Pictures are cropped and coloured anew each time they are seen, on the device, all frames of a clip alike.

What happens to a clip is a pure function of the seed, the step and the clip's place in the step's global batch: a
resumed run, and one on another number of machines, sees the same pixels.
"""

import math
from dataclasses import replace
from typing import NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Generator, Tensor

from dataengine.digest import number_of
from models.batch import ActBatch, LamBatch, WorldBatch
from pipelines.training.settings import Augment

B = TypeVar("B", LamBatch, ActBatch, WorldBatch)

CLIPS_AT_ONCE = 32
"""Changed at once, as floats: four times the memory of the pixels, and a copy."""

LUMA = (0.299, 0.587, 0.114)
"""Brightness of red, green and blue (ITU-R BT.601)."""
CHROMA = ((0.595716, -0.274453, -0.321263), (0.211456, -0.522591, 0.311135))
"""The plane of colours that brightness leaves: rows I and Q of YIQ."""


class Changes(NamedTuple):
    """What happens to each clip of a batch."""

    crop: Float[Tensor, "b 2 3"]
    """Where the pixels of the result lie in the picture, both from -1 to 1."""
    colour: Float[Tensor, "b 3 3"]
    """Saturation and hue: what becomes of red, green and blue."""
    contrast: Float[Tensor, "b"]
    brightness: Float[Tensor, "b"]
    """Added, of 255."""


def draw(settings: Augment, num_clips: int, generator: Generator) -> Changes:
    """Draw what happens to so many clips; equally many numbers whatever is set."""
    unit = torch.rand((num_clips, 8), generator=generator).double()
    (least, most), (narrow, wide) = settings.crop_area, map(math.log, settings.crop_aspect)
    area, aspect = least + (most - least) * unit[:, 0], (narrow + (wide - narrow) * unit[:, 1]).exp()
    width, height = (area * aspect).sqrt().clamp(max=1), (area / aspect).sqrt().clamp(max=1)
    nothing = torch.zeros_like(width)
    x, y = ((2 * at - 1) * (1 - side) for at, side in ((unit[:, 2], width), (unit[:, 3], height)))
    crop = torch.stack([torch.stack([width, nothing, x], 1), torch.stack([nothing, height, y], 1)], 1)
    limits = torch.tensor([settings.brightness, settings.contrast, settings.saturation, settings.hue]).double()
    brightness, contrast, saturation, hue = ((2 * unit[:, 4:] - 1) * limits).unbind(1)
    return Changes(crop.float(), _turn(1 + saturation, hue).float(), (1 + contrast).float(), 255 * brightness.float())


def _turn(saturation: Float[Tensor, "b"], hue: Float[Tensor, "b"]) -> Float[Tensor, "b 3 3"]:
    """Scale and turn the colour plane; brightness, and so every grey, stays as it is."""
    luma = torch.tensor([LUMA], dtype=torch.float64)
    chroma = torch.tensor(CHROMA, dtype=torch.float64)
    basis = torch.cat([luma, chroma])
    sin, cos = torch.sin(2 * math.pi * hue) * saturation, torch.cos(2 * math.pi * hue) * saturation
    turned = torch.zeros(len(hue), 3, 3, dtype=torch.float64)
    turned[:, 0, 0] = 1
    turned[:, 1, 1], turned[:, 1, 2], turned[:, 2, 1], turned[:, 2, 2] = cos, -sin, sin, cos
    return basis.inverse() @ turned @ basis


def change(
    video: UInt8[Tensor, "b t c height width"], changes: Changes, *, crops: bool, colours: bool
) -> UInt8[Tensor, "b t c height width"]:
    """Apply each clip's changes to all of its frames."""
    parts = [
        _change(some, Changes(*(x.to(video.device, non_blocking=True) for x in of_some)), crops, colours)
        for some, of_some in zip(
            video.split(CLIPS_AT_ONCE), zip(*(x.split(CLIPS_AT_ONCE) for x in changes), strict=True), strict=True
        )
    ]
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def _change(video: Tensor, changes: Changes, crops: bool, colours: bool) -> Tensor:
    pixels = video.float()
    if crops:
        flat = pixels.flatten(1, 2)  # one grid for all frames of a clip
        grid = F.affine_grid(changes.crop, list(flat.shape), align_corners=False)
        pixels = F.grid_sample(flat, grid, padding_mode="border", align_corners=False).view(pixels.shape)
    if colours:
        turned = torch.einsum("bij,btjhw->btihw", changes.colour, pixels)
        mean = turned.mean(dim=(1, 3, 4), keepdim=True)
        scale, add = (x[:, None, None, None, None] for x in (changes.contrast, changes.brightness))
        pixels = (turned - mean) * scale + mean + add
    return pixels.round().clamp(0, 255).to(torch.uint8)


def augment(batch: B, settings: Augment, generator: Generator, first: int = 0, num_all: int | None = None) -> B:
    """Change the pictures of a rank's share of a global batch: clips `first` and on, of `num_all`.

    A wrist camera has changes of its own, and is never cropped: it moves with the hand, where every pixel counts.
    """
    crops, colours = settings.crops, settings.colours
    if not crops and not colours:
        return batch
    clips = batch.image[:, None] if isinstance(batch, ActBatch) else batch.video

    def drawn() -> Changes:
        everyones = draw(settings, num_all or len(clips), generator)
        return Changes(*(x[first : first + len(clips)] for x in everyones))

    changed = change(clips, drawn(), crops=crops, colours=colours)
    new = {"image": changed[:, 0]} if isinstance(batch, ActBatch) else {"video": changed}
    if isinstance(batch, ActBatch) and colours and batch.wrist.stride(0):  # else one black picture stands for all
        wrist = change(batch.wrist[:, None], drawn(), crops=False, colours=True)[:, 0]
        new["wrist"] = wrist * batch.has_wrist.to(wrist.device, non_blocking=True)[:, None, None, None]
    if isinstance(batch, ActBatch) and colours and batch.views is not None and batch.has_views is not None:
        seen = [change(view[:, None], drawn(), crops=False, colours=True) for view in batch.views.unbind(1)]
        there = batch.has_views.to(seen[0].device, non_blocking=True)
        new["views"] = torch.cat(seen, dim=1) * there[:, :, None, None, None]
    return replace(batch, **new)


def generator_of(seed: int, step: int) -> Generator:
    """Make the generator of a global batch, on the processor: equal on every device and rank."""
    return Generator().manual_seed(number_of(f"augment|{seed}|{step}", 7))
