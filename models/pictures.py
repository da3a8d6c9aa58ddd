"""Pictures that come at another size than a model's: the one resizer of tensors.

Whatever feeds a model from a corpus gives pictures at its side already; this is for pictures that one model predicts
for another, and for callers of their own. It is the authors' (bilinear, antialiased), and agrees with the data engine's
within the bound that `tests/pipelines/training/test_resizers.py` holds.
"""

import torch
import torch.nn.functional as F
from jaxtyping import UInt8
from torch import Tensor


def resize(pictures: UInt8[Tensor, "*b c height width"], side: int) -> UInt8[Tensor, "*b c side side"]:
    """Scale pictures to squares, averaging what becomes smaller; those of that size come back as they are."""
    if pictures.shape[-2:] == (side, side):
        return pictures
    pixels = pictures.flatten(0, -4).float()
    scaled = F.interpolate(pixels, (side, side), mode="bilinear", antialias=True).round().clamp(0, 255)
    return scaled.to(torch.uint8).unflatten(0, pictures.shape[:-3])
